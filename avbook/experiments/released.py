"""The authors' released networks: their weights, loaded into this book's networks."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from avbook.errors import AvbookError
from avbook.training.state_dicts import first_line, listed, word
from avbook.training.weights import read_weights

__all__ = ["Released", "RELEASED", "register_released", "load_released"]


@dataclass(frozen=True)
class Released:
    """A kind of released network: how its names map to ours, and how its sizes follow from the
    shapes."""

    names: dict[str, str]  # prefix of a released name -> prefix of ours; the longest match counts
    build: Callable[[dict[str, tuple[int, ...]]], Any]  # shapes by released name -> our network
    unused: tuple[str, ...] = ()  # prefixes of weights that the released class never uses


RELEASED: dict[str, Released] = {}


def register_released(
    kind: str,  # such as "psp-full"
    released: Released,  # its description
) -> None:
    """Adds a kind of released network to those that `load_released` knows."""
    RELEASED[kind] = released


def load_released(
    # "psp-full", "psp-weak", "avel-full", "avel-weak", "cmran-full", "cmran-weak", "han" or "ma"
    kind: str,
    # weights under their released names: a file (.pt, .pth, .safetensors, .npz), a state dict, a
    # network, or a dict with one of these under one of the usual keys, such as "state_dict"
    weights: Any,
):
    """Our network with these weights, in eval mode and float32; its sizes follow from the shapes.

    The prefixes `module.`, `_orig_mod.`, `model.` and `net.` are removed if all names have them; in
    a golden file, only names with the prefix "sd/" count. Weights that the released class holds
    without using them are optional. Nothing is unpickled.

    Raises `AvbookError` with the name of every weight that is missing, left over, of another shape,
    not a floating-point array, or not finite."""
    if not isinstance(kind, str) or kind not in RELEASED:
        raise AvbookError(
            f"released kind {word(kind, quoted=True)} is not known: expected one of"
            f" {', '.join(RELEASED)}"
        )
    released = RELEASED[kind]
    given = read_weights(
        weights,
        f"weights of {kind}",
        known=(*released.names, *released.unused),
        unused=released.unused,
    )
    shapes = _Shapes(given.where, given.shapes)
    with torch.device("meta"):  # without memory: the shapes may fit no network
        ours = _own_names(released, _built(released, shapes))
    _check_names(kind, given.where, given.shapes, ours)

    net = _built(released, shapes)
    own = {name: net.state_dict()[own] for name, (own, _) in ours.items()}
    tensors = given.tensors(own)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
    return net.eval()


def _built(released: Released, shapes: _Shapes):
    """The network of these sizes; raises `AvbookError` if there is none."""
    try:
        return released.build(shapes)
    except AvbookError:
        raise
    except Exception as error:  # any error of a layer about its sizes
        raise AvbookError(
            f"{shapes.where}: no network has these sizes ({first_line(error)}); give the state dict"
            " of the released network"
        ) from None


def _own_names(released: Released, net) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Released name -> our name and shape, for every weight of ours."""
    back = {new: old for old, new in released.names.items()}
    return {
        _translate(own, back): (own, tuple(tensor.shape))
        for own, tensor in net.state_dict().items()
    }


def _check_names(
    kind: str,
    where: str,
    shapes: Mapping[str, tuple[int, ...]],  # the shapes given
    ours: Mapping[str, tuple[str, tuple[int, ...]]],  # from `_own_names`
) -> None:
    """Raises `AvbookError` with the name of every weight that is missing, left over, or of another
    shape."""
    problems = []
    if missing := [name for name in ours if name not in shapes]:
        problems.append(f"missing {listed(missing)}")
    if left_over := [name for name in shapes if name not in ours]:
        problems.append(f"left over {listed(left_over)}")
    wrong = [
        f"{name} {shapes[name]} instead of {shape}"
        for name, (_, shape) in ours.items()
        if name in shapes and shapes[name] != shape
    ]
    if wrong:
        problems.append(f"wrong shape: {listed(wrong)}")
    if problems:
        raise AvbookError(
            f"{where}: {'; '.join(problems)}; give the state dict of the released {kind} network"
        )


def _translate(name: str, prefixes: dict[str, str]) -> str:
    for prefix in sorted(prefixes, key=len, reverse=True):
        if name.startswith(prefix):
            return prefixes[prefix] + name[len(prefix) :]
    return name


class _Shapes(dict):
    """Shapes by released name, for reading sizes; a missing name, or one with too few axes, is
    reported to the user."""

    def __init__(self, where: str, shapes: dict[str, tuple[int, ...]]):
        super().__init__(shapes)
        self.where = where

    def __getitem__(self, name: str) -> tuple[int, ...]:
        shape = super().__getitem__(name)
        if len(shape) != 2:
            raise AvbookError(
                f"{self.where}: {name} {shape}: expected a matrix; give the state dict of the"
                " released network"
            )
        return shape

    def __missing__(self, name: str):
        if self:
            near = difflib.get_close_matches(name, list(self), n=1)
            there = f"the nearest name given is {listed((near or list(self))[:1])}"
        else:
            there = "there are no weights at all"
        raise AvbookError(
            f"{self.where}: {name} is missing, and a size of the network is read from it; {there}"
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


# -------------------------------------------------------------------------------------------- CMRAN
def _relation(theirs: str, ours: str, attention: str, layers: int) -> dict[str, str]:
    """The names of one modality's relation layers."""
    stack = "encoder" if attention == "self_attn" else "decoder"
    names = {f"{theirs}.affine_matrix.": f"{ours}.project."}
    for layer in range(layers):
        for old, new in (
            (attention, "attention"),
            ("linear1", "hidden"),
            ("linear2", "out"),
            ("norm1", "first"),
            ("norm2", "second"),
        ):
            names[f"{theirs}.{stack}.layers.{layer}.{old}."] = f"{ours}.layers.{layer}.{new}."
    return names


_CMRAN_ATTENTION = "spatial_channel_att.affine_"
_CMRAN = {
    "v_fc.": "adapt.",
    **{
        f"{_CMRAN_ATTENTION}{old}.": f"attention.{new}."
        for old, new in (
            ("audio_1", "channel_audio"),
            ("video_1", "channel_visual"),
            ("bottleneck", "bottleneck"),
            ("v_c_att", "channel_score"),
            ("audio_2", "spatial_audio"),
            ("video_2", "spatial_visual"),
            ("v_s_att", "spatial_score"),
        )
    },
    **_relation("video_encoder", "visual_within", "self_attn", 2),
    **_relation("audio_encoder", "audio_within", "self_attn", 2),
    **_relation("video_decoder", "visual_across", "multihead_attn", 1),
    **_relation("audio_decoder", "audio_across", "multihead_attn", 1),
    "AVInter.video_multihead.": "interaction.attention.",
    "AVInter.norm1.": "interaction.norm.",
    "localize_module.classifier.": "head.relevance.",
    "localize_module.event_classifier.": "head.category.",
}


def _build_cmran(weak: bool, shapes):
    from avbook.supervised.cmran import CMRAN

    adapted, visual_dim = shapes["v_fc.weight"]
    attention_dim, audio_dim = shapes[_CMRAN_ATTENTION + "audio_1.weight"]
    feed, width = shapes["video_encoder.encoder.layers.0.linear1.weight"]
    return CMRAN(
        audio_dim=audio_dim,
        visual_dim=visual_dim,
        categories=shapes["localize_module.event_classifier.weight"][0] - weak,
        adapted=adapted,
        attention_dim=attention_dim,
        bottleneck=shapes[_CMRAN_ATTENTION + "bottleneck.weight"][0],
        spatial_dim=shapes[_CMRAN_ATTENTION + "audio_2.weight"][0],
        width=width,
        feed=feed,
        weak=weak,
    )


for _kind, _weak in (("cmran-full", False), ("cmran-weak", True)):
    register_released(
        _kind,
        Released(
            _CMRAN,
            partial(_build_cmran, _weak),
            unused=(
                _CMRAN_ATTENTION + "video_guided_",
                *(f"{name}_encoder.encoder_layer." for name in ("video", "audio")),
                *(f"{name}_decoder.decoder_layer." for name in ("video", "audio")),
                *(f"{name}_decoder.decoder.layers.0.self_attn." for name in ("video", "audio")),
            ),
        ),
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
