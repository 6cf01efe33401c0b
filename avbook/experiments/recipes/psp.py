"""PSP and its baseline AVEL as recipes: fully and weakly supervised, each trained in one stage."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from avbook.errors import AvbookError
from avbook.experiments.options import WIDEST, Schedule, option
from avbook.experiments.recipe import Recipe, pick

__all__ = ["RECIPES"]


# ------------------------------------------------------------------------------------------ options
@dataclass(frozen=True)
class AttentionSize:
    """The audio-guided attention."""

    attention_dim: int = option(
        512, "width in which audio and visual features are compared", least=1, most=WIDEST
    )


@dataclass(frozen=True)
class InputSizes:
    """The layers before PSP's Bi-LSTMs."""

    bottleneck: int = option(256, "middle width of the two input layers", least=1, most=WIDEST)
    width: int = option(128, "input width of the Bi-LSTMs", least=1, most=WIDEST)


@dataclass(frozen=True)
class HeadSizes:
    """The Bi-LSTMs and the classifier."""

    hidden: int = option(128, "units of a Bi-LSTM in each direction", least=1, most=WIDEST)
    head: int = option(64, "width of the classifier's hidden layer", least=1, most=WIDEST)


@dataclass(frozen=True)
class Modality:
    """The modalities of AVEL."""

    modality: str = option(
        "both",
        "modalities of the network; a single one: no attention, no pair-similarity loss",
        choices=("both", "audio", "visual"),
    )


@dataclass(frozen=True)
class Propagation:
    """Positive sample propagation and the ablations of Table 1."""

    prune: str = option(
        "psp",
        "variant of Table 1; none: no propagation",
        choices=("psp", "wpsp", "asp", "sapsp", "none"),
    )
    tau: float = option(0.095, "τ, threshold on a pair's share (Eq. 2)", least=0, most=1)
    strict: bool = option(True, "cut shares equal to τ too, as released; false: Eq. 2")
    renormalise: bool = option(True, "renormalise rows to sum 1 after the cut")
    project: str = option(
        "code",
        "code: ReLU and dropout after each projection; paper: linear",
        choices=("code", "paper"),
    )
    dropout: float = option(0.1, "dropout after the projections and W_3", least=0, below=1)


@dataclass(frozen=True)
class Layers:
    """The layers in which the released full and weak models differ."""

    inputs: str = option(
        "two-layer", "layers before the Bi-LSTMs", choices=("raw", "one-layer", "two-layer")
    )
    third: bool = option(True, "W_3 before the fusion (Eq. 4)")


@dataclass(frozen=True)
class PairLoss:
    """The pair-similarity loss of the fully supervised setting."""

    lam: float = option(100.0, "λ, weight of the pair-similarity loss (Eq. 10)", least=0)
    literal: bool = option(False, "Eq. 8 as printed: a product instead of the cosine")
    stale_targets: bool = option(
        False, "the released loader's targets, never cleared between batches"
    )


@dataclass(frozen=True)
class Weighting:
    """The weighting branch of the weakly supervised setting."""

    weighting: bool = option(True, "weight the segments (Eq. 5); false: their mean (Eq. 6)")
    weighting_relu: bool = option(True, "ReLU before the sigmoid of Eq. 5, as released")


@dataclass(frozen=True)
class Loader:
    """The behaviour of the released weak loader."""

    frozen_batches: bool = option(
        False, "the released loader's batches: only the first of an epoch is random"
    )
    by_category: bool = option(False, "draw those batches from a list sorted by category")


@dataclass(frozen=True)
class WeakSchedule(Schedule):
    """The schedule of the released weak models."""

    decay_every: int = 80
    decay_until: int = 200


@dataclass(frozen=True)
class PSPFull(AttentionSize, InputSizes, HeadSizes, Propagation, Layers, PairLoss, Schedule):
    """The options of `psp-full`."""


@dataclass(frozen=True)
class PSPWeak(
    AttentionSize, InputSizes, HeadSizes, Propagation, Layers, Weighting, Loader, WeakSchedule
):
    """The options of `psp-weak`, with layers as in the released weak model."""

    renormalise: bool = False
    inputs: str = "one-layer"
    third: bool = False


@dataclass(frozen=True)
class AVELFull(AttentionSize, HeadSizes, Modality, PairLoss, Schedule):
    """The options of `avel-full`."""


@dataclass(frozen=True)
class AVELWeak(AttentionSize, HeadSizes, Modality, Weighting, Loader, WeakSchedule):
    """The options of `avel-weak`."""


# ----------------------------------------------------------------------------------------- building
_DIMS = ("categories", "audio_dim", "visual_dim", "positions")


def _build_psp(weak: bool, settings: dict[str, Any], dims: dict[str, int]) -> tuple:
    from avbook.supervised.psp import PSP

    groups = [AttentionSize, InputSizes, HeadSizes, Propagation, Layers]
    if weak:
        groups.append(Weighting)
    net = PSP(weak=weak, **pick(dims, _DIMS), **pick(settings, *groups))
    return net, _method(weak, settings)


def _build_avel(weak: bool, settings: dict[str, Any], dims: dict[str, int]) -> tuple:
    from avbook.supervised.avel import AVEL

    if settings["modality"] != "both" and settings.get("lam"):  # checked before the first batch
        raise AvbookError(
            f"modality={settings['modality']} and lam={settings['lam']:g}: the pair-similarity loss"
            " compares both modalities; expected lam=0 with one of them"
        )
    groups = [AttentionSize, HeadSizes, Modality]
    if weak:
        groups.append(Weighting)
    net = AVEL(weak=weak, **pick(dims, _DIMS), **pick(settings, *groups))
    return net, _method(weak, settings)


def _method(weak: bool, settings: dict[str, Any]):
    from avbook.supervised.psp import PSPMethod

    return PSPMethod(weak=weak, **pick(settings, Loader if weak else PairLoss))


# ------------------------------------------------------------------------------------------ recipes
_QUICK_SIZES = {"attention_dim": 64, "hidden": 64, "head": 64}
_QUICK_FIT = {"epochs": 40, "batch_size": 32, "decay_every": 10, "decay_until": 40, "threads": 1}
_QUICK_AVEL = {**_QUICK_SIZES, **_QUICK_FIT}
_QUICK_PSP = {**_QUICK_AVEL, "bottleneck": 64, "width": 64}
_WEAK = {"weak": True}  # the training split with its background clips

RECIPES = (
    Recipe(
        name="psp-full",
        task="ave",
        about="PSP, every second labelled: cross entropy + λ · pair-similarity loss",
        settings=PSPFull,
        quick=_QUICK_PSP,
        build=partial(_build_psp, False),
    ),
    Recipe(
        name="psp-weak",
        task="ave",
        about=(
            "PSP, each clip labelled with its shares of segments: weighting branch, binary cross"
            " entropy"
        ),
        settings=PSPWeak,
        quick=_QUICK_PSP,
        build=partial(_build_psp, True),
        open=_WEAK,
    ),
    Recipe(
        name="avel-full",
        task="ave",
        about="AVEL, the baseline, every second labelled, with PSP's pair-similarity loss",
        settings=AVELFull,
        quick=_QUICK_AVEL,
        build=partial(_build_avel, False),
    ),
    Recipe(
        name="avel-weak",
        task="ave",
        about="AVEL, each clip labelled, with PSP's weighting branch",
        settings=AVELWeak,
        quick=_QUICK_AVEL,
        build=partial(_build_avel, True),
        open=_WEAK,
    ),
)
