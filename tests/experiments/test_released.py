"""Released names into our networks: sizes from shapes, and one line that names everything wrong."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from avbook.errors import AvbookError
from avbook.experiments.released import (
    RELEASED,
    Released,
    _translate,
    load_released,
    register_released,
)

KINDS = ["psp-full", "psp-weak", "avel-full", "avel-weak", "cmran-full", "cmran-weak"]
SHAPES = dict(
    {
        "attention.affine_audio.weight": (8, 6),
        "attention.affine_audio.bias": (8,),
        "attention.affine_video.weight": (8, 5),
        "attention.affine_video.bias": (8,),
        "attention.affine_v.weight": (4, 8),
        "attention.affine_g.weight": (4, 8),
        "attention.affine_h.weight": (1, 4),
        "psp.v_L1.weight": (6, 6),
        "psp.v_L2.weight": (6, 6),
        "psp.a_L1.weight": (6, 6),
        "psp.a_L2.weight": (6, 6),
        "psp.layer_norm.weight": (6,),
        "psp.layer_norm.bias": (6,),
        "L1.weight": (7, 6),
        "L2.weight": (3, 7),
    }.items()
)


def lstm(prefix, inputs, hidden=3):
    return {
        f"{prefix}.{name}_l0{end}": shape
        for end in ("", "_reverse")
        for name, shape in {
            "weight_ih": (4 * hidden, inputs),
            "weight_hh": (4 * hidden, hidden),
            "bias_ih": (4 * hidden,),
            "bias_hh": (4 * hidden,),
        }.items()
    }


def affine(name, outputs, inputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def attention(name, dim=8):
    projected = {f"{name}.in_proj_weight": (3 * dim, dim), f"{name}.in_proj_bias": (3 * dim,)}
    return projected | affine(f"{name}.out_proj", dim, dim)


def relation(name, inputs, layers, own, dim=8, feed=11):
    shapes = affine(f"{name}.affine_matrix", dim, inputs)
    stack = "encoder" if own == "self_attn" else "decoder"
    for layer in (f"{name}.{stack}.layers.{i}" for i in range(layers)):
        shapes |= attention(f"{layer}.{own}")
        shapes |= affine(f"{layer}.linear1", feed, dim) | affine(f"{layer}.linear2", dim, feed)
        for norm in ("norm1", "norm2"):
            shapes |= {f"{layer}.{norm}.weight": (dim,), f"{layer}.{norm}.bias": (dim,)}
    return shapes


def cmran(weak):
    spatial = "spatial_channel_att.affine_"
    shapes = affine("v_fc", 7, 5) | attention("AVInter.video_multihead")
    for name, outputs, inputs in (
        ("video_1", 9, 7),
        ("audio_1", 9, 6),
        ("bottleneck", 10, 9),
        ("v_c_att", 7, 10),
        ("video_2", 12, 7),
        ("audio_2", 12, 6),
        ("v_s_att", 1, 12),
    ):
        shapes |= affine(spatial + name, outputs, inputs)
    for name, inputs in (("video", 7), ("audio", 6)):
        shapes |= relation(f"{name}_encoder", inputs, 2, "self_attn")
        shapes |= relation(f"{name}_decoder", inputs, 1, "multihead_attn")
    shapes |= {"AVInter.norm1.weight": (8,), "AVInter.norm1.bias": (8,)}
    shapes |= affine("localize_module.classifier", 1, 8)
    return shapes | affine("localize_module.event_classifier", 2 + weak, 8)


def arrays_of(kind, seed=0):
    """Small weights of each kind, written down here by the released names."""
    if kind.startswith("psp"):
        shapes = SHAPES | lstm("lstm_a_v.lstm_audio", 6) | lstm("lstm_a_v.lstm_video", 6)
        if kind == "psp-full":
            shapes = shapes | {
                "fa.0.weight": (9, 6),
                "fa.1.weight": (6, 9),
                "fv.0.weight": (9, 5),
                "fv.1.weight": (6, 9),
                "psp.v_fc.weight": (6, 6),
                "psp.a_fc.weight": (6, 6),
            }
        else:
            shapes = shapes | {
                "linear_v.weight": (6, 5),
                "linear_v.bias": (6,),
                "W3.weight": (1, 3),
            }
    elif kind.startswith("cmran"):
        shapes = cmran(kind == "cmran-weak")
    else:
        shapes = {
            name.removeprefix("attention."): shape
            for name, shape in SHAPES.items()
            if name.startswith("attention.")
        }
        shapes |= lstm("lstm_audio", 6) | lstm("lstm_video", 5)
        shapes |= {"L1.weight": (7, 12), "L1.bias": (7,), "L2.weight": (3, 7), "L2.bias": (3,)}
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_come_from_shapes_and_every_weight_arrives(kind):
    arrays = arrays_of(kind)
    net = load_released(kind, arrays)
    assert not net.training
    given = sorted(float(np.abs(value).sum()) for value in arrays.values())
    assert sorted(float(p.detach().abs().sum()) for p in net.parameters()) == pytest.approx(given)
    out = net({"audio": torch.randn(2, 5, 6), "visual": torch.rand(2, 5, 2, 2, 5)})
    assert out["scores"].shape == (2, 5, 3) and ("video_scores" in out) == kind.endswith("weak")


@pytest.mark.parametrize("kind", KINDS)
def test_forms_of_the_arrays(kind, tmp_path):
    arrays = arrays_of(kind)
    reference = load_released(kind, arrays).state_dict()
    marked = {f"sd/{name}": value for name, value in arrays.items()} | {
        "in/audio": np.zeros(3),
        "thr0.095/out": np.zeros(2),
    }
    np.savez(tmp_path / "golden.npz", **marked)
    tensors = {
        f"module.{name}": torch.from_numpy(value).requires_grad_() for name, value in arrays.items()
    }
    doubles = {name: value.astype(np.float64) for name, value in arrays.items()}
    with np.load(tmp_path / "golden.npz") as file:
        for form in (marked, file, tensors, doubles):
            for name, value in load_released(kind, form).state_dict().items():
                assert torch.equal(value, reference[name]) and value.dtype == torch.float32


class Holder(nn.Module):
    """A network of the authors', of which only the state dict is of interest."""

    def __init__(self, tensors):
        super().__init__()
        self.tensors = tensors

    def state_dict(self, *args, **kwargs):
        return self.tensors


def wrap(arrays, *prefixes):
    return {"".join(prefixes) + name: value for name, value in arrays.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_files_wrappings_and_networks(kind, tmp_path):
    """What people have: a file of the authors', a checkpoint of a training program, the network."""
    arrays = arrays_of(kind)
    reference = load_released(kind, arrays).state_dict()
    tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
    torch.save({"state_dict": wrap(tensors, "module."), "epoch": 3}, tmp_path / "w.pth")
    torch.save(tensors, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file(tensors, tmp_path / "w.safetensors")
    np.savez(tmp_path / "w.npz", **arrays)
    network = Holder(tensors)
    for form in (
        tmp_path / "w.pth",
        str(tmp_path / "old.pt"),
        tmp_path / "w.safetensors",
        tmp_path / "w.npz",
        network,
        {"model": network, "optimizer": {}},
        {"model_state_dict": wrap(tensors, "model.", "_orig_mod.")},
        wrap(tensors, "module.", "module."),
        wrap(arrays, "sd/", "net."),
    ):
        for name, value in load_released(kind, form).state_dict().items():
            assert torch.equal(value, reference[name]) and value.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_floats_of_any_length_become_float32(dtype):
    given = {
        name: torch.from_numpy(value).to(dtype) for name, value in arrays_of("avel-full").items()
    }
    net = load_released("avel-full", given)
    rounded = {name: tensor.float().numpy() for name, tensor in given.items()}
    reference = load_released("avel-full", rounded).state_dict()
    for name, value in net.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, reference[name])


def refused(kind, weights, *words) -> str:
    with pytest.raises(AvbookError) as error:
        load_released(kind, weights)
    text = str(error.value)
    assert len(text.splitlines()) == 1 and len(text) < 5000, text
    for word in words:
        assert word in text, text
    return text


VALUES = {
    "list": ([1.0, 2.0], "not an array (list)"),
    "string": ("weights", "not an array (str)"),
    "float": (0.5, "not an array (float)"),
    "None": (None, "not an array (NoneType)"),
    "zero size": (np.zeros((0, 6)), "empty"),
    "int8": (torch.ones(7, 6, dtype=torch.int8), "not floating-point numbers (int8)"),
    "bool": (np.ones((7, 6), bool), "not floating-point numbers (bool)"),
    "complex": (torch.ones(7, 6) * 1j, "not floating-point numbers (complex64)"),
    "NaN": (np.full((7, 6), np.nan), "not finite"),
    "infinite": (torch.full((7, 6), torch.inf), "not finite"),
    "larger than float32": (np.full((7, 6), -1e40), "not finite"),
    "meta": (torch.ones(7, 6, device="meta"), "without values (on the meta device)"),
    "sparse": (torch.ones(7, 6).to_sparse(), "sparse or nested"),
    "huge": (torch.ones(1).expand(10**5, 10**5), "at most 1,073,741,824 in all"),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_that_are_no_weights(case):
    value, word = VALUES[case]
    text = refused("psp-full", arrays_of("psp-full") | {"L1.weight": value}, "L1.weight", word)
    assert text.startswith("weights of psp-full: ")


def test_every_fault_is_named_once():
    arrays = arrays_of("psp-full") | {"L1.weight": [1], "L2.weight": [2], "fa.0.weight": None}
    refused(
        "psp-full",
        arrays,
        "not an array (list): L1.weight, L2.weight; not an array (NoneType): fa.0",
    )


def test_names_that_are_no_names():
    arrays = arrays_of("psp-full")
    refused("psp-full", {0: arrays["L1.weight"]}, "1 of 1 names are not strings, such as 0")
    half = arrays | {"module.L1.weight": arrays["L1.weight"]}
    refused("psp-full", half, "L1.weight both with and without it")
    refused("psp-full", arrays | {"two\nlines": np.ones(1)}, r"left over 'two\nlines'")


def test_weights_without_use_are_not_looked_at():
    load_released("psp-full", arrays_of("psp-full") | {"L3.weight": np.full(3, np.nan), "L4.": []})


def test_sizes_of_no_network():
    """A size that is read from one shape and no other agrees with: nothing of it is allocated."""
    arrays = arrays_of("psp-full")
    narrow = arrays | {"lstm_a_v.lstm_audio.weight_hh_l0": np.zeros((1, 2**22), np.float32)}
    refused("psp-full", narrow, "wrong shape", "(1, 4194304) instead of (16777216, 4194304)")
    wide = arrays | {"lstm_a_v.lstm_audio.weight_hh_l0": torch.ones(1).expand(1, 2**29)}
    refused("psp-full", wide, "weights of psp-full: ")


def test_messages_begin_with_the_file(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"L1.weight": torch.ones(2, 2)}, path)
    refused(
        "psp-full", path, f"{path}: weights of psp-full: attention.affine_video.weight is missing"
    )
    refused("psp-full", tmp_path / "none.pt", f"{tmp_path / 'none.pt'}: no such file")
    torch.save(nn.Linear(2, 2), path)
    refused("psp-full", path, f"{path}: not weights only", "save the network's state_dict")


def test_left_and_right_are_not_swapped():
    arrays = arrays_of("psp-full")
    net = load_released("psp-full", arrays)
    for own, name in {
        "propagation.v2": "psp.v_L2",
        "propagation.a1": "psp.a_L1",
        "fusion.v3": "psp.v_fc",
        "encoder.visual_in.1": "fv.1",
        "encoder.attention.audio_units": "attention.affine_g",
        "encoder.attention.visual": "attention.affine_video",
    }.items():
        assert torch.equal(
            net.get_parameter(f"{own}.weight").detach(), torch.from_numpy(arrays[f"{name}.weight"])
        ), own


def test_all_faults_at_once_in_one_line():
    arrays = arrays_of("psp-full")
    del arrays["psp.v_L2.weight"], arrays["psp.layer_norm.bias"]
    arrays["extra.weight"] = np.zeros(3, np.float32)
    arrays["psp.a_L1.weight"] = np.zeros((6, 5), np.float32)
    with pytest.raises(AvbookError) as error:
        load_released("psp-full", arrays)
    text = str(error.value)
    assert "\n" not in text and text.startswith("weights of psp-full:")
    for part in (
        "missing psp.v_L2.weight, psp.layer_norm.bias",
        "left over extra.weight",
        "psp.a_L1.weight (6, 5) instead of (6, 6)",
    ):
        assert part in text, text


@pytest.mark.parametrize("kind", KINDS)
def test_another_networks_weights(kind):
    for other in KINDS:
        if other.split("-")[0] != kind.split("-")[0]:
            with pytest.raises(AvbookError, match="missing"):
                load_released(kind, arrays_of(other))
    with pytest.raises(AvbookError, match="no weights at all"):
        load_released(kind, {})


def test_full_and_weak_psp_are_told_apart():
    with pytest.raises(AvbookError, match="linear_v.weight is missing"):
        load_released("psp-weak", arrays_of("psp-full"))
    with pytest.raises(AvbookError, match="fa.0.weight is missing"):
        load_released("psp-full", arrays_of("psp-weak"))


def test_a_weight_without_the_axes_its_size_is_read_from():
    arrays = arrays_of("psp-full")
    arrays["attention.affine_video.weight"] = np.zeros(8, np.float32)
    with pytest.raises(AvbookError, match=r"attention.affine_video.weight \(8,\)"):
        load_released("psp-full", arrays)


def test_layers_the_released_class_never_uses_may_be_there():
    arrays = arrays_of("psp-full") | {
        "linear_v.weight": np.zeros((6, 5)),
        "L3.bias": np.zeros(2),
        "v_classify.L1.weight": np.zeros(3),
    }
    load_released("psp-full", arrays)
    load_released(
        "psp-weak",
        arrays_of("psp-weak") | {"temperature": np.ones((1, 3)), "W1.weight": np.zeros((1, 6))},
    )


def test_unknown_kind():
    with pytest.raises(AvbookError, match="'psp'.*psp-full, psp-weak, avel-full, avel-weak"):
        load_released("psp", {})
    for kind in (None, 3, ["psp-full"], "two\nlines", np.eye(2)):
        refused(kind, {}, "is not known")


def test_a_new_kind_can_be_registered(monkeypatch):
    monkeypatch.setattr("avbook.experiments.released.RELEASED", dict(RELEASED))
    register_released(
        "line",
        Released(
            {"old.": "", "old.deep.": "deep."},
            lambda shapes: torch.nn.Linear(*shapes["old.weight"][::-1]),
        ),
    )
    net = load_released("line", {"old.weight": np.ones((2, 3)), "old.bias": np.zeros(2)})
    assert net(torch.ones(3)).tolist() == [3, 3]


def test_the_longest_prefix_wins():
    assert _translate("a.b.c", {"a.": "x.", "a.b.": "y."}) == "y.c"
    assert _translate("q.c", {"a.": "x."}) == "q.c"
