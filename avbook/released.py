"""Weights of the authors' released networks, by the names they have there, into ours."""
from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Callable, Mapping

from .errors import AvbookError

__all__ = ["Released", "RELEASED", "register_released", "load_released"]


@dataclass(frozen=True)
class Released:
    """A kind of released network: how its names map to ours and how its sizes are read from the shapes."""

    names: dict[str, str]  # prefix of a released name -> prefix of ours; the longest that fits is taken
    build: Callable[[dict[str, tuple[int, ...]]], Any]  # the shapes by released name -> our network
    unused: tuple[str, ...] = ()  # prefixes that the released class defines and its forward pass never reads


RELEASED: dict[str, Released] = {}


def register_released(
    kind: str,  # such as "psp-full"
    released: Released,  # how to read it
) -> None:
    """Adds a kind of released network to those that `load_released` knows."""
    RELEASED[kind] = released


def load_released(
    kind: str,  # "psp-full", "psp-weak", "avel-full" or "avel-weak"
    arrays: Mapping[str, Any],  # released name -> array or tensor: a state dict, an npz file, a golden file with "sd/" before each name
):
    """Our network with these weights, in eval mode; its sizes come from the shapes.

    Raises `AvbookError` naming every weight that is missing, left over, or of another shape. Weights that the released class holds
    without using them may be there or not.
    """
    import torch

    if kind not in RELEASED:
        raise AvbookError(f"released kind {kind!r} is not known: expected one of {', '.join(RELEASED)}")
    released = RELEASED[kind]
    names = _weight_names(arrays, released.unused)
    shapes = {name: tuple(arrays[key].shape) for name, key in names.items()}
    try:
        net = released.build(shapes)
    except KeyError as error:
        net, first = None, error.args[0]
    if net is None:
        raise AvbookError(f"weights of {kind}: {first} is missing, and the network's sizes are read from it; {_what_is_there(shapes, first)}")

    ours = net.state_dict()
    expected = {_translate(name, {new: old for old, new in released.names.items()}): name for name in ours}
    problems = []
    if missing := [name for name in expected if name not in shapes]:
        problems.append(f"missing {', '.join(missing)}")
    if left_over := [name for name in shapes if name not in expected]:
        problems.append(f"left over {', '.join(left_over)}")
    wrong = [f"{name} {shapes[name]} instead of {tuple(ours[own].shape)}" for name, own in expected.items()
             if name in shapes and shapes[name] != tuple(ours[own].shape)]
    if wrong:
        problems.append(f"wrong shape: {', '.join(wrong)}")
    if problems:
        raise AvbookError(f"weights of {kind}: {'; '.join(problems)}; give the state dict of the released {kind} network")
    with torch.no_grad():
        for name, own in expected.items():
            ours[own].copy_(torch.as_tensor(arrays[names[name]]))
    return net.eval()


def _weight_names(arrays: Mapping[str, Any], unused: tuple[str, ...]) -> dict[str, str]:
    """Released name -> key in the arrays, for the weights alone."""
    keys = [key for key in arrays.keys()]
    if marked := [key for key in keys if key.startswith("sd/")]:
        names = {key[3:]: key for key in marked}
    else:
        names = {key: key for key in keys}
    names = {name.removeprefix("module."): key for name, key in names.items()}  # as DataParallel saves them
    return {name: key for name, key in names.items() if not name.startswith(unused)}


def _translate(name: str, prefixes: dict[str, str]) -> str:
    for prefix in sorted(prefixes, key=len, reverse=True):
        if name.startswith(prefix):
            return prefixes[prefix] + name[len(prefix):]
    return name


def _what_is_there(shapes: Mapping[str, Any], wanted: str) -> str:
    if not shapes:
        return "there are no weights at all"
    near = difflib.get_close_matches(wanted, list(shapes), n=1)
    return f"the nearest name given is {near[0]}" if near else f"the first name given is {next(iter(shapes))}"


# -------------------------------------------------------------------------------------------------------- AVEL and PSP
_ATTENTION = {"affine_audio.": "audio.", "affine_video.": "visual.", "affine_v.": "visual_units.", "affine_g.": "audio_units.",
              "affine_h.": "score."}


def _attention(before: str) -> dict[str, str]:
    return {before + old: "encoder.attention." + new for old, new in _ATTENTION.items()}


_PSP = {
    **_attention("attention."), "lstm_a_v.lstm_audio.": "encoder.lstm_audio.", "lstm_a_v.lstm_video.": "encoder.lstm_visual.",
    "psp.v_L1.": "propagation.v1.", "psp.v_L2.": "propagation.v2.", "psp.a_L1.": "propagation.a1.", "psp.a_L2.": "propagation.a2.",
    "psp.layer_norm.": "fusion.norm.", "L1.": "head.hidden.", "L2.": "head.score.",
}
_AVEL = {**_attention(""), "lstm_audio.": "encoder.lstm_audio.", "lstm_video.": "encoder.lstm_visual.", "L1.": "head.hidden.",
         "L2.": "head.score."}


def _sizes(shapes: dict[str, tuple[int, ...]], attention: str, lstm: str) -> dict[str, int]:
    return {
        "visual_dim": shapes[attention + "affine_video.weight"][1], "attention_dim": shapes[attention + "affine_video.weight"][0],
        "positions": shapes[attention + "affine_v.weight"][0], "hidden": shapes[lstm + "lstm_audio.weight_hh_l0"][1],
        "head": shapes["L1.weight"][0], "categories": shapes["L2.weight"][0] - 1,
    }


def _build_psp_full(shapes):
    from .psp import PSP

    return PSP(**_sizes(shapes, "attention.", "lstm_a_v."), audio_dim=shapes["fa.0.weight"][1], bottleneck=shapes["fa.0.weight"][0],
               width=shapes["fa.1.weight"][0])


def _build_psp_weak(shapes):
    from .psp import PSP

    return PSP(**_sizes(shapes, "attention.", "lstm_a_v."), audio_dim=shapes["attention.affine_audio.weight"][1],
               width=shapes["linear_v.weight"][0], weak=True)


def _build_avel(shapes, **options):
    from .avel import AVEL

    return AVEL(**_sizes(shapes, "", ""), audio_dim=shapes["affine_audio.weight"][1], **options)


register_released("psp-full", Released(
    {**_PSP, "fa.": "encoder.audio_in.", "fv.": "encoder.visual_in.", "psp.v_fc.": "fusion.v3.", "psp.a_fc.": "fusion.a3."},
    _build_psp_full, unused=("linear_v.", "v_classify.", "a_classify.", "L3.", "L4.")))
register_released("psp-weak", Released(
    {**_PSP, "linear_v.": "encoder.visual_in.", "W3.": "head.weight."}, _build_psp_weak, unused=("temperature", "W1.", "W2.")))
register_released("avel-full", Released(_AVEL, _build_avel))
register_released("avel-weak", Released(_AVEL, lambda shapes: _build_avel(shapes, weak=True, pool="max")))
