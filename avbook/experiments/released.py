"""The authors' released networks: their weights, loaded into this book's networks."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from avbook.errors import AvbookError

__all__ = ["Released", "RELEASED", "register_released", "load_released"]


@dataclass(frozen=True)
class Released:
    """A kind of released network: how its names map to ours and how its sizes are read from the
    shapes."""

    names: dict[
        str, str
    ]  # prefix of a released name -> prefix of ours; the longest that fits is taken
    build: Callable[
        [dict[str, tuple[int, ...]]], Any
    ]  # the matrices' shapes by released name -> our network
    unused: tuple[
        str, ...
    ] = ()  # prefixes that the released class defines and its forward pass never reads


RELEASED: dict[str, Released] = {}


def register_released(
    kind: str,  # such as "psp-full"
    released: Released,  # how to read it
) -> None:
    """Adds a kind of released network to those that `load_released` knows."""
    RELEASED[kind] = released


def load_released(
    kind: str,  # "psp-full", "psp-weak", "avel-full", "avel-weak", "han" or "ma"
    arrays: Mapping[
        str, Any
        # released name -> array or tensor: a state dict, an npz file, a golden file with "sd/"
        # before each name
    ],
):
    """Our network with these weights, in eval mode; its sizes come from the shapes.

    Raises `AvbookError` naming every weight that is missing, left over, or of another shape.
    Weights that the released class holds without using them may be there or not."""
    import torch

    if kind not in RELEASED:
        raise AvbookError(
            f"released kind {kind!r} is not known: expected one of {', '.join(RELEASED)}"
        )
    released = RELEASED[kind]
    names = _weight_names(arrays, released.unused)
    shapes = {name: tuple(arrays[key].shape) for name, key in names.items()}
    net = released.build(_Shapes(kind, shapes))

    ours = net.state_dict()
    expected = {
        _translate(name, {new: old for old, new in released.names.items()}): name for name in ours
    }
    problems = []
    if missing := [name for name in expected if name not in shapes]:
        problems.append(f"missing {', '.join(missing)}")
    if left_over := [name for name in shapes if name not in expected]:
        problems.append(f"left over {', '.join(left_over)}")
    wrong = [
        f"{name} {shapes[name]} instead of {tuple(ours[own].shape)}"
        for name, own in expected.items()
        if name in shapes and shapes[name] != tuple(ours[own].shape)
    ]
    if wrong:
        problems.append(f"wrong shape: {', '.join(wrong)}")
    if problems:
        raise AvbookError(
            f"weights of {kind}: {'; '.join(problems)}; give the state dict of the released {kind}"
            " network"
        )
    with torch.no_grad():
        for name, own in expected.items():
            ours[own].copy_(torch.as_tensor(arrays[names[name]]))
    return net.eval()


def _weight_names(arrays: Mapping[str, Any], unused: tuple[str, ...]) -> dict[str, str]:
    """Released name -> key in the arrays, for the weights alone."""
    keys = list(arrays.keys())
    if marked := [key for key in keys if key.startswith("sd/")]:
        names = {key[3:]: key for key in marked}
    else:
        names = {key: key for key in keys}
    names = {
        name.removeprefix("module."): key for name, key in names.items()
    }  # as DataParallel saves them
    return {name: key for name, key in names.items() if not name.startswith(unused)}


def _translate(name: str, prefixes: dict[str, str]) -> str:
    for prefix in sorted(prefixes, key=len, reverse=True):
        if name.startswith(prefix):
            return prefixes[prefix] + name[len(prefix) :]
    return name


class _Shapes(dict):
    """Shapes by released name, for reading sizes: a name that is not there, or has too few axes, is
    the user's to know."""

    def __init__(self, kind: str, shapes: dict[str, tuple[int, ...]]):
        super().__init__(shapes)
        self.kind = kind

    def __getitem__(self, name: str) -> tuple[int, ...]:
        shape = super().__getitem__(name)
        if len(shape) != 2:
            raise AvbookError(
                f"weights of {self.kind}: {name} {shape}: expected a matrix; give the state dict of"
                " the released network"
            )
        return shape

    def __missing__(self, name: str):
        near = difflib.get_close_matches(name, list(self), n=1)
        there = (
            f"the nearest name given is {(near or list(self))[0]}"
            if self
            else "there are no weights at all"
        )
        raise AvbookError(
            f"weights of {self.kind}: {name} is missing, and a size of the network is read from it;"
            f" {there}"
        )


# ------------------------------------------------------------------------------------- AVEL and PSP
_ATTENTION = {
    "affine_audio.": "audio.",
    "affine_video.": "visual.",
    "affine_v.": "visual_units.",
    "affine_g.": "audio_units.",
    "affine_h.": "score.",
}


def _attention(before: str) -> dict[str, str]:
    return {before + old: "encoder.attention." + new for old, new in _ATTENTION.items()}


_PSP = {
    **_attention("attention."),
    "lstm_a_v.lstm_audio.": "encoder.lstm_audio.",
    "lstm_a_v.lstm_video.": "encoder.lstm_visual.",
    "psp.v_L1.": "propagation.v1.",
    "psp.v_L2.": "propagation.v2.",
    "psp.a_L1.": "propagation.a1.",
    "psp.a_L2.": "propagation.a2.",
    "psp.layer_norm.": "fusion.norm.",
    "L1.": "head.hidden.",
    "L2.": "head.score.",
}
_AVEL = {
    **_attention(""),
    "lstm_audio.": "encoder.lstm_audio.",
    "lstm_video.": "encoder.lstm_visual.",
    "L1.": "head.hidden.",
    "L2.": "head.score.",
}


def _sizes(shapes: dict[str, tuple[int, ...]], attention: str, lstm: str) -> dict[str, int]:
    return {
        "visual_dim": shapes[attention + "affine_video.weight"][1],
        "attention_dim": shapes[attention + "affine_video.weight"][0],
        "positions": shapes[attention + "affine_v.weight"][0],
        "hidden": shapes[lstm + "lstm_audio.weight_hh_l0"][1],
        "head": shapes["L1.weight"][0],
        "categories": shapes["L2.weight"][0] - 1,
    }


def _build_psp_full(shapes):
    from avbook.supervised.psp import PSP

    return PSP(
        **_sizes(shapes, "attention.", "lstm_a_v."),
        audio_dim=shapes["fa.0.weight"][1],
        bottleneck=shapes["fa.0.weight"][0],
        width=shapes["fa.1.weight"][0],
    )


def _build_psp_weak(shapes):
    from avbook.supervised.psp import PSP

    return PSP(
        **_sizes(shapes, "attention.", "lstm_a_v."),
        audio_dim=shapes["attention.affine_audio.weight"][1],
        width=shapes["linear_v.weight"][0],
        weak=True,
    )


def _build_avel(shapes, **options):
    from avbook.supervised.avel import AVEL

    return AVEL(**_sizes(shapes, "", ""), audio_dim=shapes["affine_audio.weight"][1], **options)


register_released(
    "psp-full",
    Released(
        {
            **_PSP,
            "fa.": "encoder.audio_in.",
            "fv.": "encoder.visual_in.",
            "psp.v_fc.": "fusion.v3.",
            "psp.a_fc.": "fusion.a3.",
        },
        _build_psp_full,
        unused=("linear_v.", "v_classify.", "a_classify.", "L3.", "L4."),
    ),
)
register_released(
    "psp-weak",
    Released(
        {**_PSP, "linear_v.": "encoder.visual_in.", "W3.": "head.weight."},
        _build_psp_weak,
        unused=("temperature", "W1.", "W2."),
    ),
)
register_released("avel-full", Released(_AVEL, _build_avel))
register_released(
    "avel-weak", Released(_AVEL, lambda shapes: _build_avel(shapes, weak=True, pool="max"))
)


# --------------------------------------------------------------------------------------- HAN and MA
_LAYER = "hat_encoder.layers.0."
_HAN = {
    "fc_a.": "projection.audio.",
    "fc_v.": "projection.visual_2d.",
    "fc_st.": "projection.visual_3d.",
    "fc_fusion.": "projection.visual.",
    "fc_prob.": "head.classifier.",
    "fc_frame_att.": "head.pooling.frame.",
    "fc_av_att.": "head.pooling.modality.",
    _LAYER + "linear1.": "attention.feed.0.",
    _LAYER + "linear2.": "attention.feed.3.",
    _LAYER + "norm1.": "attention.first.",
    _LAYER + "norm2.": "attention.second.",
    **{
        f"{_LAYER}{old}.{theirs}": f"attention.{new}.{mine}"
        for old, new in (("self_attn", "own"), ("cm_attn", "cross"))
        for theirs, mine in (("in_proj_", "qkv."), ("out_proj.", "out."))
    },
}


def _build_parser(kind: str, shapes):
    from avbook.parsing import han, ma

    return (ma.MA if kind == "ma" else han.HAN)(
        audio_dim=shapes["fc_a.weight"][1],
        visual_2d_dim=shapes["fc_v.weight"][1],
        visual_3d_dim=shapes["fc_st.weight"][1],
        categories=shapes["fc_prob.weight"][0],
        width=shapes["fc_a.weight"][0],
        hidden=shapes[_LAYER + "linear1.weight"][0],
    )


for _kind in ("han", "ma"):
    register_released(
        _kind,
        Released(
            _HAN,
            partial(_build_parser, _kind),
            unused=(
                "audio_encoder.",
                "visual_encoder.",
                "cmt_encoder.",
                "hat_encoder.norm",
                "t_att.",
                "t_att2.",
                "fc1.",
                "fc2.",
            ),
        ),
    )
