"""The extractors' corpus: its categories, its labels; training from it, from seed to weights."""

import json

import numpy as np
import pytest
import torch
from processes import ROOT

from avbook.data.events import AVE_CATEGORIES, LLP_CATEGORIES
from avbook.errors import AvbookError
from avbook.features.trained import extractor_weights
from avbook.world.appearance import CORPUS_APPEARANCES, appearance_of
from avbook.world.audio import CORPUS_VOICES, voice_of
from avbook.world.clips import SECOND
from avbook.world.corpus import (
    PICTURES,
    SOUNDS,
    render_pair,
    render_second,
    sample_scene,
)
from avbook.world.training import TrainingOptions, compare_extractors, train_extractors
from avbook.world.video import HARDEST

FEW = TrainingOptions(pictures=120, sounds=120).with_epochs(1)


def test_the_categories_are_not_those_of_the_data_sets():
    known = {*AVE_CATEGORIES, *LLP_CATEGORIES}
    for categories, own in ((PICTURES, CORPUS_APPEARANCES), (SOUNDS, CORPUS_VOICES)):
        assert len(set(categories)) == len(categories)
        shared = known & set(categories)
        assert set(categories) - shared == set(own) and len(own) == 16
        assert 0 < len(shared) < len(AVE_CATEGORIES) * 0.6
    assert all(appearance_of(name) for name in PICTURES) and all(voice_of(name) for name in SOUNDS)


def test_labels_are_what_is_there():
    for index in range(30):
        scene = sample_scene("picture", index)
        frames, labels = render_pair(index)
        assert frames.shape == (2, 56, 56, 3) and frames.dtype == np.uint8
        assert set(np.flatnonzero(labels)) == set(scene.labels)
        assert [PICTURES[k] for k in scene.labels] == [s.category for s in scene.clip.sources]
    heard = [render_second(index) for index in range(30)]
    for index, (patch, labels) in enumerate(heard):
        assert patch.shape == (96, 64) and np.isfinite(patch).all()
        assert set(np.flatnonzero(labels)) <= set(sample_scene("sound", index).labels)
    assert sum(labels.any() for _, labels in heard) > 20, "most seconds have a sound"


def test_a_silent_source_is_no_label(monkeypatch):
    monkeypatch.setattr("avbook.world.corpus.AUDIBLE", 1e9)
    assert not render_second(0)[1].any()


def test_examples_come_from_seed_and_index():
    assert np.array_equal(render_pair(5)[0], render_pair(5)[0])
    assert not np.array_equal(render_pair(5)[0], render_pair(6)[0])
    assert not np.array_equal(render_pair(5)[0], render_pair(5, seed=1)[0])


@pytest.mark.parametrize(
    "arguments, says",
    [
        (("smell", 0), "expected one of picture, sound"),
        (("sound", -1), "index=-1"),
        (("sound", 0, 1.5), "seed=1.5"),
    ],
)
def test_scenes_that_cannot_be(arguments, says):
    with pytest.raises(AvbookError, match=says):
        sample_scene(*arguments)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extractors") / "new"
    said = []
    log = train_extractors(folder, FEW, workers=1, progress=False, say=said.append)
    return folder, log, said


def test_training_writes_weights_that_fit_and_a_log(trained):
    folder, log, said = trained
    assert extractor_weights(folder / "extractors.safetensors").hash == log["hash"]
    assert json.loads((folder / "training.json").read_text()) == log
    assert set(log["log"]) == {"sound", "picture", "change"} and len(said) == 3


def test_the_same_seed_gives_the_same_weights_and_leaves_the_generator(trained, tmp_path):
    state = torch.get_rng_state()
    log = train_extractors(tmp_path / "again", FEW, workers=1, progress=False, say=str)
    assert log["hash"] == trained[1]["hash"] and torch.equal(state, torch.get_rng_state())
    with pytest.raises(AvbookError, match="exists already"):
        train_extractors(tmp_path / "again", FEW)


def test_weights_are_compared_with_the_packages(trained):
    first, *others = compare_extractors(trained[0], examples=40)
    assert trained[1]["hash"] in first and extractor_weights().hash in first
    assert len(others) == 2 and all("R²" in line for line in others)


def test_options_that_cannot_be(tmp_path):
    with pytest.raises(AvbookError, match="pictures=5"):
        train_extractors(tmp_path / "x", TrainingOptions(pictures=5))
    assert not (tmp_path / "x").exists()


def test_the_levers_are_those_that_the_calibration_kept():
    told = json.loads((ROOT / "nbs/appendix_world/calibration.json").read_text())
    kept = told["tries"][-1]
    assert kept["note"] == "kept"
    ave, llp = (json.loads(json.dumps(vars(SECOND[task]))) for task in ("ave", "llp"))
    disturbance = kept["ave"].pop("disturbance")
    assert disturbance == {name: vars(HARDEST)[name] for name in disturbance}
    assert kept["ave"] == {name: ave[name] for name in kept["ave"]}
    assert kept["llp"] == {name: llp[name] for name in kept["llp"]}
    for name, published in told["published"]["avel"].items():
        assert abs(kept["avel"][name] - published) <= told["allowed"]["avel"]
