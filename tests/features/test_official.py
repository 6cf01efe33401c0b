"""The official extractors against other programs' arrays and plain references: networks, weight
files, sampling and pixels.

`official_golden.npz` holds outputs of torchvision 0.28.0 and OpenCV 5.0.0. Run as a program beside
both, this file writes it again."""

import dataclasses
import gc
import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from avbook.errors import AvbookError
from avbook.features import official, official_weights
from avbook.features.extractors import Extractor
from avbook.features.logmel import log_mel
from avbook.features.official import (
    PixelInput,
    R2Plus1DExtractor,
    ResNet152Extractor,
    VGG19Extractor,
    VGGishExtractor,
    ave_frame_indices,
    llp_frame_indices,
)
from avbook.features.official_networks import VGG19, R2Plus1D18, ResNet152, VGGish
from avbook.features.official_weights import PUBLISHED, load_published
from avbook.features.resizing import (
    centre_crop,
    resize_opencv,
    resize_pillow,
    resize_short_side,
)

GOLDEN = Path(__file__).with_name("official_golden.npz")
NETWORKS = {"vgg19": VGG19, "vggish": VGGish, "resnet152": ResNet152, "r2plus1d_18": R2Plus1D18}
SEEDS = {"vgg19": 19, "vggish": 128, "resnet152": 152, "r2plus1d_18": 21}
# sizes that OpenCV and Pillow are compared at: smaller, half, larger, in one direction
SIZES = [(37, 53, 16, 24), (32, 48, 16, 24), (9, 11, 16, 24), (60, 24, 16, 24), (16, 90, 16, 24)]


# ------------------------------------------------------------------------------------- weights made
def random_weights(kind, shapes):
    """Weights of the given shapes in that order, seeded, of a size that keeps activations near 1;
    also without those of the last layer, which come last."""
    rng = np.random.default_rng(SEEDS[kind])
    made = {}
    for name, shape in shapes.items():
        values = rng.random(shape, dtype=np.float32)
        if name.endswith("num_batches_tracked"):
            made[name] = torch.tensor(7)
            continue
        if len(shape) > 1:  # a convolution or a dense layer
            bound = np.float32((6 / np.prod(shape[1:])) ** 0.5)
            values = (values * 2 - 1) * bound
        elif name.endswith("running_var"):
            values = values + np.float32(0.5)
        elif name.endswith(("bias", "running_mean")):
            values = (values - np.float32(0.5)) * np.float32(0.2)
        elif name.endswith(("bn3.weight", "conv2.1.weight")):  # else sums of blocks grow and grow
            values = values * np.float32(0.25)
        else:
            values = values + np.float32(0.5)
        made[name] = torch.from_numpy(values)
    return made


def pixels_of(kind):
    """A small input of the network."""
    rng = np.random.default_rng(SEEDS[kind] + 1)
    shape = {"resnet152": (2, 3, 64, 96), "r2plus1d_18": (1, 3, 16, 32, 48)}[kind]
    pixels = rng.standard_normal(shape, dtype=np.float32)
    pixels[-1] *= np.linspace(0, 3, shape[-1], dtype=np.float32)
    return torch.from_numpy(pixels)


def shapes_of(kind):
    with torch.device("meta"):
        return {name: tuple(own.shape) for name, own in NETWORKS[kind]().state_dict().items()}


def write_keras(path, weights, top=False, new=False):
    """Keras's layout of 2016, or that of a newer Keras's whole model."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if new else file
        for layer in ("input_1", "block1_pool", "flatten"):
            root.create_group(layer)
        for name, value in weights.items():
            layer, part = name.rsplit(".", 1)
            old = {"weight": f"{layer}_W_1:0", "bias": f"{layer}_b_1:0"}[part]
            inner = {"weight": "kernel:0", "bias": "bias:0"}[part]
            name = f"{layer}/{layer}/{inner}" if new else f"{layer}/{old}"
            value = value.permute(2, 3, 1, 0).numpy() if value.ndim == 4 else value.numpy()
            if set(value.strides) == {0}:  # of `flat_weights`: nothing but its one number is stored
                root.create_dataset(name, value.shape, "f4", fillvalue=value.flat[0])
            else:
                root[name] = value
        if top:
            root["fc1/fc1_W_1:0"] = np.ones((25, 4), np.float32)
            root["predictions/predictions_b_1:0"] = np.ones(4, np.float32)
    return path


def write_weights(folder, kind, weights, **layout):
    folder.mkdir(exist_ok=True)
    if kind == "vgg19":
        return write_keras(folder / "weights.h5", weights, **layout)
    torch.save(weights, folder / "weights.pth")
    return folder / "weights.pth"


def flat_weights(kind, value=0.01):
    """Weights of the right shapes that are one number in memory and in the file."""
    return {
        name: torch.tensor(7)
        if name.endswith("num_batches_tracked")
        else torch.full((1,), value).expand(shape)
        for name, shape in shapes_of(kind).items()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("official")


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN)


def loaded_from_file(folder, kind, beyond=None, **layout):
    """The weights and the network that was loaded from a file of them, which is removed again."""
    weights = random_weights(kind, shapes_of(kind))
    path = write_weights(folder / kind, kind, weights | (beyond or {}), **layout)
    loaded = load_published(kind, path, any_weights=True)
    path.unlink()
    gc.collect()
    return weights, loaded.net


# ---------------------------------------------------------------------------- networks: torchvision
@pytest.mark.parametrize("kind, dim", [("resnet152", 2048), ("r2plus1d_18", 512)])
def test_torchvisions_networks_give_torchvisions_vectors(folder, golden, kind, dim):
    head = {"fc.weight": torch.ones(4, dim), "fc.bias": torch.ones(4)}  # is left out
    _, net = loaded_from_file(folder, kind, head)
    with torch.inference_mode():
        found = net(pixels_of(kind)).numpy()
    assert found.shape == golden[kind].shape and found.shape[1] == dim
    assert 0.05 < golden[kind].std() < 20
    np.testing.assert_allclose(found, golden[kind], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["resnet152", "r2plus1d_18"])
def test_names_and_shapes_are_torchvisions(golden, kind):
    names = [f"{name} {list(shape)}" for name, shape in shapes_of(kind).items()]
    assert names == golden[f"{kind}/names"].tolist()


@pytest.mark.parametrize("kind", ["resnet152", "r2plus1d_18"])
def test_a_file_of_before_2018_has_no_counters(folder, kind):
    weights = {k: v for k, v in flat_weights(kind).items() if not k.endswith("tracked")}
    net = load_published(kind, write_weights(folder / "old", kind, weights), True).net
    assert {tuple(v.shape) for k, v in net.state_dict().items() if k.endswith("tracked")} == {()}
    assert not any(value.is_meta for value in net.state_dict().values())


def test_the_golden_arrays_are_those_of_torchvision_where_it_can_be_imported(golden):
    try:
        from torchvision.models import resnet152
        from torchvision.models.video import r2plus1d_18
    except Exception as error:  # its compiled part fails beside another build of torch
        pytest.skip(f"torchvision: {error}")
    found = torchvision_vectors({"resnet152": resnet152, "r2plus1d_18": r2plus1d_18})
    for name, array in found.items():
        if name.endswith("names"):
            assert array.tolist() == golden[name].tolist()
        else:
            np.testing.assert_allclose(array, golden[name], rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------------------- networks: the VGGs
def same_convolution(maps, weight, bias):
    """A 3×3 convolution in float64, positions before channels: nine shifted products."""
    height, width = maps.shape[1:3]
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernel = weight.numpy().astype(np.float64).transpose(2, 3, 1, 0)  # (3, 3, in, out)
    total = bias.numpy().astype(np.float64)
    for down in range(3):
        for right in range(3):
            total = (
                total
                + padded[:, down : down + height, right : right + width] @ (kernel[down, right])
            )
    return np.maximum(total, 0)


def pooled(maps):
    n, height, width, channels = maps.shape
    maps = maps[:, : height // 2 * 2, : width // 2 * 2]
    return maps.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))


def test_vgg19_equals_a_plain_reference(folder):
    weights, net = loaded_from_file(folder, "vgg19")
    image = np.random.default_rng(3).standard_normal((1, 67, 32, 3))  # three rows are left over
    expected = image
    for block, count in enumerate((2, 2, 4, 4, 4), start=1):
        for layer in (f"block{block}_conv{k + 1}" for k in range(count)):
            weight, bias = weights[f"{layer}.weight"], weights[f"{layer}.bias"]
            expected = same_convolution(expected, weight, bias)
        expected = pooled(expected)
    with torch.inference_mode():
        found = net(torch.from_numpy(image.transpose(0, 3, 1, 2)).float())
    assert found.shape == (1, 512, 2, 1) and expected.std() > 0.05
    np.testing.assert_allclose(found.permute(0, 2, 3, 1), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", ["top", "new"])
def test_keras_files_with_dense_layers_and_of_a_newer_keras(folder, layout):
    weights, net = loaded_from_file(folder, "vgg19", **{layout: True})
    assert list(net.state_dict()) == list(weights)
    for name, value in net.state_dict().items():
        assert torch.equal(value, weights[name]), name


def vggish_reference(patches, weights):
    """VGGish in float64, positions before channels, as TensorFlow has it."""
    maps = patches.astype(np.float64)[..., None]  # (n, 96, 64, 1)
    for block in ((0,), (3,), (6, 8), (11, 13)):
        for index in block:
            layer = f"features.{index}"
            maps = same_convolution(maps, weights[f"{layer}.weight"], weights[f"{layer}.bias"])
        maps = pooled(maps)
    found = maps.reshape(len(maps), -1)  # time, band, channel
    for index in (0, 2, 4):
        layer = f"embeddings.{index}"
        found = found @ weights[f"{layer}.weight"].numpy().T.astype(np.float64)
        found = np.maximum(found + weights[f"{layer}.bias"].numpy(), 0)
    return found


@pytest.fixture(scope="module")
def vggish(folder):
    """Weights, and the extractor with them."""
    weights = random_weights("vggish", shapes_of("vggish"))
    path = write_weights(folder / "vggish", "vggish", weights)
    extract = VGGishExtractor(path, any_weights=True)
    path.unlink()
    return weights, extract


def test_vggish_equals_a_plain_reference_on_the_references_patches(vggish, golden_dir):
    weights, extract = vggish
    patches = np.load(golden_dir / "vggish_logmel.npz")["a16k_mono_ave_logmel"][[0, 4]]
    expected = vggish_reference(patches, weights)
    found = extract(patches)
    assert found.shape == (2, 128) and found.dtype == np.float32
    assert expected.std() > 0.05 and 0.1 < (expected == 0).mean() < 0.9  # the ReLU shows
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_vggish_takes_waves_patches_and_batches_alike(vggish):
    _, extract = vggish
    rng = np.random.default_rng(2)
    wave = rng.integers(-9000, 9000, (2 * 22_050 + 999, 2)).astype(np.int16)  # 2 s and a rest
    found = extract(wave, 22_050)
    patches = log_mel(wave.astype(np.float64).mean(1) / 32768, 22_050)
    assert found.shape == (2, 128) and not np.array_equal(found[0], found[1])
    np.testing.assert_allclose(extract(patches), found, atol=1e-5)
    both = extract(np.stack([patches, patches[::-1]]))
    assert both.shape == (2, 2, 128)
    np.testing.assert_allclose(both, np.stack([found, found[::-1]]), atol=1e-5)
    assert extract(patches[:0]).shape == (0, 128)


@pytest.mark.parametrize(
    "bad", [np.full((1, 96, 64), np.nan), np.zeros((1, 96, 64), int), np.zeros(100), "sound"]
)
def test_vggish_refuses_other_sound_in_one_line(vggish, bad):
    with pytest.raises(AvbookError) as caught:
        vggish[1](bad)
    assert "expected" in str(caught.value) and len(str(caught.value).splitlines()) == 1


# ---------------------------------------------------------------------------------------- sampling
def test_ave_takes_sixteen_frames_a_second():
    expected = [int(s * 30 + i * 1.0 / 16 * 30) for s in range(10) for i in range(16)]
    assert ave_frame_indices(305).tolist() == expected  # five frames at the end are never used
    assert ave_frame_indices(305)[:5].tolist() == [0, 1, 3, 5, 7]
    assert ave_frame_indices(160).tolist() == list(range(160))
    assert ave_frame_indices(239, 8).tolist() == [
        int(s * 29 + i / 16 * 29) for s in range(8) for i in range(16)
    ]
    assert ave_frame_indices(11, 10).tolist() == np.repeat(np.arange(10), 16).tolist()


@pytest.mark.parametrize("count", [159, 251, 299, 300, 600, 601])
@pytest.mark.parametrize("seconds", [1, 3, 10, 61])
def test_ave_frames_exist_and_never_go_back(count, seconds):
    found = ave_frame_indices(count, seconds)
    assert len(found) == 16 * seconds and found.max() < count and (np.diff(found) >= 0).all()


def test_llp_takes_eighty_from_first_to_last():
    found = llp_frame_indices(82)
    assert found.tolist() == [int(x) for x in np.round(np.linspace(0, 81, 80))]
    assert sorted(set(range(82)) - set(found.tolist())) == [20, 61]
    assert llp_frame_indices(80).tolist() == list(range(80))
    assert (
        llp_frame_indices(6, 2)[[0, -1]].tolist() == [0, 5] and len(llp_frame_indices(6, 2)) == 16
    )
    # linspace gives 0.5 and 1.5 …: halves go to the even number
    assert llp_frame_indices(4, 1).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    "call",
    [
        lambda: ave_frame_indices(9, 10),
        lambda: ave_frame_indices(0),
        lambda: ave_frame_indices(100, 0),
        lambda: ave_frame_indices(100, 2.5),
        lambda: llp_frame_indices(0),
        lambda: llp_frame_indices(80, True),
    ],
)
def test_impossible_samplings_are_refused_in_one_line(call):
    with pytest.raises(AvbookError, match="expected"):
        call()


# ------------------------------------------------------------------------------------------- pixels
def picture(height, width, seed=5):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_resizing_is_opencvs_to_the_pixel(golden, size):
    found = resize_opencv(picture(*size[:2]), *size[2:])
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, golden[f"opencv/{size}"])


@pytest.mark.parametrize("size", [*SIZES, (90, 160, 30, 40), (240, 426, 24, 24)], ids=str)
def test_resizing_is_pillows_to_the_pixel(size):
    image = pytest.importorskip("PIL.Image")
    frame = picture(*size[:2])
    expected = image.fromarray(frame).resize(size[:1:-1], image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resize_pillow(frame, *size[2:]), np.asarray(expected))


def test_resizing_by_hand():
    row = np.array([[[0] * 3, [100] * 3, [200] * 3, [40] * 3]], np.uint8)
    # four columns to two. OpenCV: halfway between columns 0 and 1, and between 2 and 3
    assert resize_opencv(row, 1, 2)[0, :, 0].tolist() == [50, 120]
    # Pillow: triangles of two columns' reach, centred at 1 and 3: weights 3, 3, 1 of columns 0, 1
    # and 2, cut at the edge; 1, 3, 3 of columns 1, 2 and 3
    assert resize_pillow(row, 1, 2)[0, :, 0].tolist() == [
        round((3 * 0 + 3 * 100 + 200) / 7),
        round((100 + 3 * 200 + 3 * 40) / 7),
    ]
    column = row.swapaxes(0, 1)
    assert resize_opencv(column, 2, 1)[:, 0, 0].tolist() == [50, 120]
    assert resize_pillow(column, 2, 1)[:, 0, 0].tolist() == [71, 117]
    # two columns to four: a quarter and three quarters between them, the ends as they are
    assert resize_opencv(row[:, :2], 1, 4)[0, :, 0].tolist() == [0, 25, 75, 100]
    assert resize_pillow(row[:, :2], 1, 4)[0, :, 0].tolist() == [0, 25, 75, 100]
    square = np.array([[[1], [2]], [[3], [4]]], np.uint8)
    assert resize_opencv(square, 1, 1).tolist() == [[[3]]]  # the mean, 2.5, goes up


@pytest.mark.parametrize(
    "height, width, expected",
    [(360, 640, (256, 455)), (640, 360, (455, 256)), (256, 300, (256, 300)), (90, 91, (256, 258))],
)
def test_the_longer_side_is_rounded_down(height, width, expected):
    assert resize_short_side(picture(height, width), 256).shape == (*expected, 3)


def test_the_middle_is_cropped():
    rows, columns = np.mgrid[:256, :455]
    found = centre_crop(np.stack([rows, columns], -1), 224)
    assert found.shape == (224, 224, 2)
    assert found[0, 0].tolist() == [16, 116] and found[-1, -1].tolist() == [239, 339]  # 115.5
    assert centre_crop(np.arange(9).reshape(1, 9, 1).repeat(4, 0), 4)[0, 0].tolist() == [2]  # 2.5


def test_pixels_become_input_by_hand():
    pixel = torch.tensor([[[[255, 100, 0]]]], dtype=torch.uint8)  # (1, 1, 1, 3): red
    caffe = PixelInput(official.CAFFE_MEAN, reverse=True)(pixel)
    np.testing.assert_allclose(caffe.flatten(), [-103.939, 100 - 116.779, 255 - 123.68], rtol=1e-6)
    found = PixelInput(*official.IMAGENET, scale=255.0)(pixel).flatten()
    expected = [(1 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224, -0.406 / 0.225]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    clip = PixelInput(*official.KINETICS, scale=255.0)(pixel.expand(2, 8, 4, 5, 3))
    assert clip.shape == (2, 3, 8, 4, 5)
    expected = [(1 - 0.43216) / 0.22803, (100 / 255 - 0.394666) / 0.22145, -0.37645 / 0.216989]
    np.testing.assert_allclose(clip[1, :, 3, 2, 1], expected, rtol=1e-5)


# --------------------------------------------------------------------------------------- extractors
class Thumbnails(torch.nn.Module):
    """In place of a network, with the shape of its output: means of colours, repeated."""

    def __init__(self, dim, grid):
        super().__init__()
        self.dim, self.grid = dim, grid

    def forward(self, pixels):
        means = (
            torch.nn.functional.adaptive_avg_pool2d(pixels, self.grid)
            if self.grid
            else (pixels.flatten(2).mean(2))
        )
        return means.repeat_interleave(self.dim // 3 + 1, 1)[:, : self.dim]


@pytest.fixture
def stand_in(folder, monkeypatch):
    """Makes an extractor whose network is `Thumbnails`."""

    def make(kind, grid=None, **options):
        path = write_weights(folder / "stand-in", kind.kind, flat_weights(kind.kind))
        extract = kind(path, any_weights=True, **options)
        extract.net[1] = Thumbnails(extract.dim, grid)
        return extract

    return make


def frames_of(count, height=30, width=40):
    """Frames that each have one colour: red is the number, green a ramp to the right."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames[..., 0] = np.arange(count)[:, None, None]
    frames[..., 1] = np.arange(width) * 5
    return frames


def test_ave_features_are_means_of_sixteen_frames(stand_in):
    extract = stand_in(VGG19Extractor, (7, 7), batch=5)
    found = extract(frames_of(47), seconds=2)
    assert found.shape == (2, 7, 7, 512) and found.dtype == np.float32
    index = np.array([int(s * 23 + i / 16 * 23) for s in range(2) for i in range(16)])
    red = index.reshape(2, 16).mean(1) - 123.68
    np.testing.assert_allclose(found[..., -1], np.broadcast_to(red[:, None, None], (2, 7, 7)), 1e-5)
    np.testing.assert_allclose(found[..., 0], -103.939, 1e-5)  # blue comes first
    green = found[0, 0, :, 256]
    assert (np.diff(green) > 20).all()  # to the right; from row to row OpenCV rounds differently
    np.testing.assert_allclose(found[0, :, :, 256], np.tile(green, (7, 1)), atol=0.05)


def test_llp_frames_are_cropped_and_clips_have_eight(stand_in):
    frames = frames_of(25)
    index = np.round(np.linspace(0, 24, 24))
    red = lambda mean, deviation: (index / 255 - mean[0]) / deviation[0]
    frame_vectors = stand_in(ResNet152Extractor)(frames, seconds=3)
    assert frame_vectors.shape == (24, 2048)
    np.testing.assert_allclose(frame_vectors[:, 0], red(*official.IMAGENET), rtol=1e-4, atol=1e-5)
    clips = stand_in(R2Plus1DExtractor, batch=2)(frames, seconds=3)
    assert clips.shape == (3, 512)
    expected = red(*official.KINETICS).reshape(3, 8).mean(1)
    np.testing.assert_allclose(clips[:, 0], expected, rtol=1e-4, atol=1e-5)
    # the crop takes a quarter of the ramp's columns away, evenly: 30×40 -> 256×341 -> 224×224
    inside = resize_pillow(frames[0], 256, 341)[16:240, 58:282, 1].mean()
    assert inside != pytest.approx(resize_pillow(frames[0], 224, 224)[..., 1].mean(), abs=1e-3)
    found = frame_vectors[0, 1024]
    assert found == pytest.approx((inside / 255 - 0.456) / 0.224, abs=1e-4)


def test_videos_do_not_touch_each_other(stand_in):
    for kind, grid in ((VGG19Extractor, (7, 7)), (ResNet152Extractor, None)):
        extract = stand_in(kind, grid)
        first, second = frames_of(16), frames_of(16)[::-1]
        both = extract(np.stack([first, second])[None], seconds=1)
        assert both.shape[:2] == (1, 2)
        np.testing.assert_array_equal(both[0, 0], extract(first, seconds=1))
        np.testing.assert_array_equal(both[0, 1], extract(second, seconds=1))


def test_a_whole_extractor_is_its_parts(folder):
    """R(2+1)D on two clips: sampling, resizing, normalising and the network together."""
    weights = random_weights("r2plus1d_18", shapes_of("r2plus1d_18"))
    path = write_weights(folder / "whole", "r2plus1d_18", weights)

    class Small(R2Plus1DExtractor):
        side = 32

    extract = Small(path, any_weights=True)
    path.unlink()
    frames = np.stack([picture(40, 50, seed) for seed in range(17)])
    found = extract(frames, seconds=2)
    chosen = [resize_pillow(frames[i], 32, 32) for i in llp_frame_indices(17, 2)]
    pixels = np.stack(chosen).reshape(2, 8, 32, 32, 3).transpose(0, 4, 1, 2, 3) / 255.0
    mean, deviation = (np.reshape(part, (3, 1, 1, 1)) for part in official.KINETICS)
    net = R2Plus1D18().eval()
    net.load_state_dict(weights)
    with torch.inference_mode():
        expected = net(torch.from_numpy((pixels - mean) / deviation).float()).numpy()
    assert found.shape == (2, 512) and expected.std() > 0.01
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "kind", [VGG19Extractor, VGGishExtractor, ResNet152Extractor, R2Plus1DExtractor]
)
def test_an_extractor_says_what_it_is(folder, kind):
    path = write_weights(folder / "named", kind.kind, flat_weights(kind.kind))
    digits = hashlib.sha256(path.read_bytes()).hexdigest()
    extract = kind(path, any_weights=True)
    assert isinstance(extract, Extractor) and extract.seed is None and not extract.published
    assert extract.weights_hash == digits and extract.weights_file == path.name
    assert extract.version == f"1-{digits[:12]}" and kind.kind.split("_")[0] in extract.name
    assert not any(p.requires_grad for p in extract.net.parameters()) and not extract.net.training


BAD_FRAMES = {
    "floats": lambda f: f / 255,
    "colours first": lambda f: f.transpose(0, 3, 1, 2),
    "no colours": lambda f: f[..., 0],
    "no frames": lambda f: f[:0],
    "no pixels": lambda f: f[:, :0],
    "fewer frames than seconds": lambda f: f[:9],
    "int64": lambda f: f.astype(int),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_bad_frames_are_refused_in_one_line(stand_in, case):
    with pytest.raises(AvbookError) as caught:
        stand_in(VGG19Extractor, (7, 7))(BAD_FRAMES[case](frames_of(16)))
    assert "expected" in str(caught.value) and len(str(caught.value).splitlines()) == 1


# ------------------------------------------------------------------------------------- weight files
def refused(kind, path, any_weights=True):
    """The message, which is one line with the file, what was found and which file to get."""
    with pytest.raises(AvbookError) as caught:
        load_published(kind, path, any_weights)
    told = str(caught.value)
    assert len(told.splitlines()) == 1 and told.startswith(str(path))
    assert all(name in told for name in PUBLISHED[kind].files) and PUBLISHED[kind].origin in told
    return told


@pytest.mark.parametrize("kind", PUBLISHED)
def test_missing_truncated_and_foreign_files(folder, kind):
    assert "no such file" in refused(kind, folder / "nothing.pth")
    assert "a folder" in refused(kind, folder)
    path = write_weights(folder / "cut", kind, flat_weights(kind))
    whole = path.read_bytes()
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 100):
        path.write_bytes(whole[:cut])
        assert "truncated" in refused(kind, path)
    path.write_bytes(b"<!DOCTYPE html><p>Not Found")
    assert "truncated" in refused(kind, path)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_weights_of_another_network(folder, kind):
    given = flat_weights(kind)
    name = [name for name in given if name.endswith("bias")][-1]
    less = {key: value for key, value in given.items() if key != name}
    told = refused(kind, write_weights(folder / "less", kind, less))
    assert "another network" in told and name in told
    more = given | {"block6_conv1.bias" if kind == "vgg19" else "se.weight": given[name]}
    told = refused(kind, write_weights(folder / "more", kind, more))
    assert "another network" in told and ("block6_conv1" in told or "se.weight" in told)
    wide = given | {name: torch.ones(7)}
    told = refused(kind, write_weights(folder / "wide", kind, wide))
    assert f"{name} (7,) instead of" in told


@pytest.mark.parametrize("kind, value", [*zip(PUBLISHED, (np.nan, np.inf, -np.inf, np.nan))])
def test_weights_that_are_not_finite(folder, kind, value):
    given = flat_weights(kind)
    name = [name for name in given if name.endswith("bias")][3]
    given[name] = given[name].clone()
    given[name][5] = value
    told = refused(kind, write_weights(folder / "nan", kind, given))
    assert f"NaN or Inf in {name};" in told


def test_other_things_in_a_file(folder):
    folder = folder / "things"
    folder.mkdir()
    path = folder / "weights.pth"
    torch.save(torch.nn.Linear(2, 2), path)  # a pickled network is never read
    assert "weights only" in refused("vggish", path)
    torch.save([torch.ones(2)], path)
    assert "list" in refused("resnet152", path)
    torch.save(flat_weights("vggish") | {"features.0.bias": "no"}, path)
    assert "not an array (str): features.0.bias" in refused("vggish", path)
    torch.save(flat_weights("vggish"), path)
    assert "another network" in refused("r2plus1d_18", path)
    assert "torchvision's VGG-19" in refused("vgg19", path)
    path = write_keras(folder / "double.h5", flat_weights("vgg19"))
    with h5py.File(path, "a") as file:
        file["block2_conv1/again"] = np.ones((3, 3, 64, 128), np.float32)
    assert "block2_conv1" in refused("vgg19", path)
    with pytest.raises(AvbookError, match="kind='vgg16'"):
        load_published("vgg16", path)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_only_a_published_hash_is_taken_unless_told(folder, kind, monkeypatch):
    path = write_weights(folder / "hash", kind, flat_weights(kind))
    told = refused(kind, path, any_weights=False)
    digits = {name: hashlib.new(name, path.read_bytes()).hexdigest() for name in ("sha256", "md5")}
    assert digits["sha256"] in told and "any_weights" in told
    spec = PUBLISHED[kind]
    name, (function, _, known) = next((n, h.partition(":")) for n, h in spec.files.items())
    assert len(known) == {"md5": 32, "sha256": 8}[function]
    files = {name: f"{function}:{digits[function][: len(known)]}"}
    monkeypatch.setitem(official_weights.PUBLISHED, kind, dataclasses.replace(spec, files=files))
    loaded = load_published(kind, path)
    assert loaded.published and loaded.sha256 == digits["sha256"]


def test_published_names_hold_their_hashes():
    """PyTorch's hub ends a file's name in the first eight digits of its SHA-256."""
    for spec in PUBLISHED.values():
        for name, known in spec.files.items():
            if known.startswith("sha256:"):
                assert name.endswith(f"-{known[7:]}.pth")
            else:
                assert name.endswith(".h5")


# ------------------------------------------------------------------------------------------- golden
def torchvision_vectors(builders):
    """Names and vectors of torchvision's networks, by kind, without their last layer."""
    made = {}
    for kind, build in builders.items():
        with torch.device("meta"):
            net = build()
        net.fc = torch.nn.Identity()
        shapes = {name: tuple(own.shape) for name, own in net.state_dict().items()}
        made[f"{kind}/names"] = np.array([f"{name} {list(s)}" for name, s in shapes.items()])
        net.load_state_dict(random_weights(kind, shapes), assign=True)
        with torch.inference_mode():
            made[kind] = net.eval()(pixels_of(kind)).numpy()
    return made


def write_golden():
    """Writes `official_golden.npz`. Where torchvision's compiled part fails beside this torch, its
    operators `nms` and `qnms` have to be declared with `torch.library` before it is imported."""
    import cv2
    from torchvision.models import resnet152
    from torchvision.models.video import r2plus1d_18

    made = torchvision_vectors({"resnet152": resnet152, "r2plus1d_18": r2plus1d_18})
    for size in SIZES:
        made[f"opencv/{size}"] = cv2.resize(picture(*size[:2]), size[:1:-1])
    np.savez_compressed(GOLDEN, **made)


if __name__ == "__main__":
    write_golden()
