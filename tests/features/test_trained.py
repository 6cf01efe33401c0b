"""The trained extractors: exact whole numbers, the interface of the random ones, weights files that
do not fit, and their training."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from processes import ROOT
from safetensors import safe_open
from safetensors.torch import save_file

from avbook.errors import AvbookError
from avbook.features.extractors import Extractor
from avbook.features.trained import (
    EXACT,
    LARGEST,
    LAYERS,
    WEIGHTS,
    TrainedAudioExtractor,
    TrainedFrameExtractor,
    TrainedMotionExtractor,
    TrainedVisualExtractor,
    extractor_weights,
    levels,
    pooled_sound,
    sound_network,
)

PICTURES = (TrainedVisualExtractor, TrainedFrameExtractor, TrainedMotionExtractor)


def stored():
    with safe_open(WEIGHTS, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(4)
    scene = rng.integers(0, 256, (8, 8, 3)).repeat(9, 0).repeat(9, 1)
    return np.stack([np.roll(scene, 2 * k, 1)[:56, :56] for k in range(12)]).astype(np.uint8)


@pytest.fixture(scope="module")
def patches():
    return np.random.default_rng(1).normal(-2, 2, (5, 96, 64)).clip(-4.6, 4).astype(np.float32)


def test_the_weights_are_whole_numbers_below_a_megabyte():
    assert WEIGHTS.stat().st_size < 1_000_000
    assert not any(array.is_floating_point() for array in stored().values())


def test_no_sum_can_leave_the_whole_numbers_of_float32():
    arrays = stored()
    for network, forms in LAYERS.items():
        for k in range(len(forms)):
            name = f"{network}.{k}"
            most = arrays[f"{name}.weight"].long().abs().flatten(1).sum(1) * LARGEST
            assert (most + arrays[f"{name}.offset"].long().abs()).max() < EXACT, name


def test_a_layer_is_a_convolution(patches):
    """The sound network against torch's convolutions in double precision."""
    arrays, x = stored(), levels(torch.from_numpy(patches)).double()
    for k, form in enumerate(LAYERS["sound"]):
        name = f"sound.{k}"
        if k == 4:
            x = pooled_sound(x)
        sums = F.conv2d(x, arrays[f"{name}.weight"].double(), None, form.stride, form.padding)
        sums += arrays[f"{name}.offset"].double()[:, None, None]
        shift = arrays[f"{name}.shift"].double()[:, None, None]
        x = (F.relu(sums) * 2**-shift).round().clamp(max=LARGEST)
    found = sound_network(extractor_weights().networks["sound"], levels(torch.from_numpy(patches)))
    assert torch.equal(found.double(), x.flatten(1))


@pytest.mark.parametrize("threads", [1, 3])
def test_batch_and_threads_leave_the_bytes(frames, patches, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ear = TrainedAudioExtractor()
        together = ear(patches)
        assert together.tobytes() == np.concatenate([ear(one[None]) for one in patches]).tobytes()
        for kind in PICTURES:
            eye = kind(16)
            both = eye(np.stack([frames, frames[::-1]]), 3)
            assert both[0].tobytes() == eye(frames, 3).tobytes(), kind
    finally:
        torch.set_num_threads(before)


def test_shapes_and_the_interface(frames, patches):
    assert TrainedAudioExtractor()(patches).shape == (5, 128)
    shapes = {64: (3, 7, 7, 64), 20: (3, 7, 7, 20), 512: (3, 7, 7, 512)}
    for dim, shape in shapes.items():
        found = TrainedVisualExtractor(dim)(frames, 3)
        assert found.shape == shape and found.dtype == np.float32 and (found >= 0).all()
    assert TrainedFrameExtractor(2048)(frames, 3).shape == (24, 2048)
    assert TrainedMotionExtractor(512)(frames, 3).shape == (3, 512)
    for extractor in (TrainedAudioExtractor(), *(kind(4) for kind in PICTURES)):
        assert isinstance(extractor, Extractor) and extractor.seed is None


def test_what_stands_still_has_no_motion(frames):
    still = np.repeat(frames[:1], 12, 0)
    found = TrainedMotionExtractor(10)(still, 3)
    assert not found[:, :5].any() and found[:, 5:].any()
    assert TrainedMotionExtractor(10)(frames, 3)[:, :5].any()


def test_the_sound_network_has_one_width():
    with pytest.raises(AvbookError, match="dim=64; expected 128"):
        TrainedAudioExtractor(64)


# ---- weights that do not fit


@pytest.mark.parametrize(
    "change, says",
    [
        ({"version": "99"}, "weights of extractors of version 99; this avbook has version 1"),
        ({"version": None}, "weights of extractors of version none"),
        ({"drop": "sound.2.shift"}, "sound.2.shift is missing"),
        ({"add": "extra"}, "extra is not part of the extractors"),
        ({"float": "picture.0.weight"}, "picture.0.weight is torch.float32"),
        ({"cut": "picture.1.weight"}, "picture.1.weight is torch.int8 of shape (63, 48, 4, 4)"),
        ({"large": "sound.4.offset"}, "sound.4 has sums of 16777216 and more"),
        ({"fewer": "sample.change"}, "`sample.change` has"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_weights_that_do_not_fit(tmp_path, change, says):
    arrays, path = stored(), tmp_path / "w.safetensors"
    (what, name), *_ = change.items()
    if what == "drop":
        del arrays[name]
    elif what == "add":
        arrays[name] = torch.zeros(1)
    elif what == "float":
        arrays[name] = arrays[name].float()
    elif what == "cut":
        arrays[name] = arrays[name][1:].contiguous()
    elif what == "large":
        arrays[name] = torch.full_like(arrays[name], EXACT)
    elif what == "fewer":
        arrays[name] = arrays[name][1:].contiguous()
    version = change.get("version", "1")
    save_file(arrays, path, None if version is None else {"version": version})
    with pytest.raises(AvbookError) as error:
        extractor_weights(path)
    told = str(error.value)
    assert says in told and str(path) in told and "\n" not in told


def test_no_weights_file(tmp_path, monkeypatch):
    with pytest.raises(AvbookError, match="no such file"):
        extractor_weights(tmp_path / "none.safetensors")
    (tmp_path / "x").write_bytes(b"not weights")
    monkeypatch.setenv("AVBOOK_EXTRACTORS", str(tmp_path / "x"))
    with pytest.raises(AvbookError, match="not a safetensors file"):
        TrainedVisualExtractor()


# ---- what training left


def test_the_log_is_of_the_weights_in_the_package():
    log = json.loads((ROOT / "nbs/appendix_world/training.json").read_text())
    assert log["hash"] == extractor_weights().hash
    for epochs in log["log"].values():
        assert epochs[-1]["held_out_loss"] < epochs[0]["held_out_loss"]
