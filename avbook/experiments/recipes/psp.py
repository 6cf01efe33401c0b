"""PSP and its baseline AVEL as recipes: fully and weakly supervised, each trained in one stage."""

from __future__ import annotations

from functools import partial
from typing import Any, Iterable

from avbook.experiments.recipe import Recipe

_FIT = {
    "epochs": 300,
    "batch_size": 128,
    "lr": 1e-3,
    "decay_every": 60,
    "decay": 0.8,
    "decay_until": 170,
    "weight_decay": 0.0,
    "precision": "no",
    "threads": 0,
}
_SIZES = {"attention_dim": 512, "bottleneck": 256, "width": 128, "hidden": 128, "head": 64}
_QUICK_SIZES = {"attention_dim": 64, "bottleneck": 64, "width": 64, "hidden": 64, "head": 64}
_QUICK_FIT = {"epochs": 40, "batch_size": 32, "decay_every": 10, "decay_until": 40, "threads": 1}
_PSP = {
    "prune": "psp",
    "tau": 0.095,
    "strict": True,
    "renormalise": True,
    "project": "code",
    "dropout": 0.1,
}
_INPUTS = {
    True: {"inputs": "one-layer", "third": False},
    False: {"inputs": "two-layer", "third": True},
}  # weak: the layers as released
_AVPS = {"lam": 100.0, "literal": False, "stale_targets": False}
_WEIGHTING = {"weighting": True, "weighting_relu": True}
_LOADER = {"frozen_batches": False, "by_category": False}


def _pick(settings: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: settings[name] for name in names if name in settings}


def _build_ave(kind: str, weak: bool, settings: dict[str, Any], dims: dict[str, int]):
    from avbook.supervised import avel, psp

    net = {"psp": psp.PSP, "avel": avel.AVEL}[kind]
    own = _pick(settings, [*_SIZES, *_PSP, "inputs", "third", *_WEIGHTING])
    return (
        net(
            weak=weak, **_pick(dims, ("categories", "audio_dim", "visual_dim", "positions")), **own
        ),
        psp.PSPMethod(weak=weak, **_pick(settings, [*_AVPS, *_LOADER])),
    )


_AVEL_SIZES = _pick(_SIZES, ("attention_dim", "hidden", "head"))
_AVEL_QUICK = {**_pick(_QUICK_SIZES, _AVEL_SIZES), **_QUICK_FIT}
_WEAK_FIT = {**_FIT, "decay_every": 80, "decay_until": 200}
_WEAK = {"open": {"weak": True}}  # the training split with its clips of background alone

RECIPES = (
    Recipe(
        "psp-full",
        "ave",
        "PSP, every second labelled: cross entropy + λ · pair-similarity loss",
        {**_SIZES, **_PSP, **_INPUTS[False], **_AVPS, **_FIT},
        {**_QUICK_SIZES, **_QUICK_FIT},
        partial(_build_ave, "psp", False),
    ),
    Recipe(
        "psp-weak",
        "ave",
        "PSP, each clip labelled with its share of seconds: weighting branch, binary cross entropy",
        {
            **_SIZES,
            **_PSP,
            **_INPUTS[True],
            "renormalise": False,
            **_WEIGHTING,
            **_LOADER,
            **_WEAK_FIT,
        },
        {**_QUICK_SIZES, **_QUICK_FIT},
        partial(_build_ave, "psp", True),
        **_WEAK,
    ),
    Recipe(
        "avel-full",
        "ave",
        "AVEL, the baseline, every second labelled, with PSP's pair-similarity loss",
        {**_AVEL_SIZES, **_AVPS, **_FIT},
        _AVEL_QUICK,
        partial(_build_ave, "avel", False),
    ),
    Recipe(
        "avel-weak",
        "ave",
        "AVEL, each clip labelled, with PSP's weighting branch",
        {**_AVEL_SIZES, **_WEIGHTING, **_LOADER, **_WEAK_FIT},
        _AVEL_QUICK,
        partial(_build_ave, "avel", True),
        **_WEAK,
    ),
)
