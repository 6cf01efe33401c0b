"""Timelines of trained models: what the recipe predicts, event by event, and nothing of features
that are not the model's."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_folders import write_ave, write_llp

from avbook.data.events import ave_events, llp_events
from avbook.errors import AvbookError
from avbook.experiments.datasets import open_data
from avbook.experiments.models import read_model
from avbook.experiments.recipes import find_recipe
from avbook.experiments.runner import run_seed
from avbook.experiments.trained_timelines import (
    WORLD as WORLD_NAMES,
    check_extractors,
    clip_names,
    folder_timelines,
)
from avbook.features import trained
from avbook.training.loop import predict_all

SMALL = {"epochs": 1, "threads": 1, "batch_size": 8, "hidden": 8}
AVE = {**SMALL, "attention_dim": 8, "head": 8}
RUNS = {
    "psp-full": {**AVE, "bottleneck": 12, "width": 8},
    "psp-weak": {**AVE, "width": 8},
    "avel-full": AVE,
    "han": {**SMALL, "width": 8, "threshold": 0.4},
    "ma": {**SMALL, "width": 8},
}
NAMES = ("A", "B, b", "C", "D")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("timelines")
    write_ave(base / "ave", audio=7, side=3, visual=5, categories=NAMES)
    write_llp(base / "llp", audio=7, d2=11, d3=5)
    return {"ave": base / "ave", "llp": base / "llp", "runs": base / "runs"}


@pytest.fixture(scope="module")
def run(folders):
    """A trained model and its data; each trains once."""
    found = {}

    def get(name):
        if name not in found:
            recipe = find_recipe(name)
            data = recipe.open_data(str(folders[recipe.task]))
            out = folders["runs"] / name
            asked = {"preset": "quick", "options": RUNS[name], "seed": 0}
            run_seed(recipe, data, out=out, progress=False, device="cpu", **asked)
            (path,) = out.glob("*/*/seed-0.json")
            data = open_data(str(folders[recipe.task]), recipe.task)
            found[name] = read_model(path), data
        return found[name]

    return get


def spread(model, seed=0):
    """The model with weights far from zero, so that it predicts many categories."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for tensor in model.net.parameters():
            tensor.copy_(torch.randn_like(tensor) * 0.7)
    return model


# ------------------------------------------------------------------------------------ what is found
@pytest.mark.parametrize("name", ["psp-full", "psp-weak", "avel-full"])
def test_ave_has_the_events_that_the_recipe_predicts(run, name):
    model, data = run(name)
    spread(model, seed={"psp-weak": 3}.get(name, 0))
    assert model.categories == NAMES
    found = {line.video: line for line in folder_timelines(model, data, batch_size=3)}
    assert len(found) == sum(map(len, data.splits.values()))
    kinds = set()
    for split in data.splits.values():
        predicted = predict_all(model.net, model.method, split, 8, torch.device("cpu"))
        for clip, labels in zip(clip_names(data)[split.name], predicted.numpy()):
            events = sorted(ave_events(labels, NAMES), key=lambda e: (e.onset, e.offset))
            told = [(e.event, e.onset, e.offset) for e in found[clip].events]
            assert told == [(e.category, e.onset, e.offset) for e in events]
            assert {e.modality for e in found[clip].events} <= {"audio-visual"}
            kinds |= {e.event for e in found[clip].events}
    assert len(kinds) > 1, "the test would pass with one category everywhere"


def test_the_score_of_ave_is_the_mean_share_of_the_softmax(run):
    model, data = run("psp-full")
    spread(model)
    batch = data.test.batch([0])
    with torch.inference_mode():
        shares = model.net(batch)["scores"].softmax(-1)[0].numpy()
    (line,) = folder_timelines(model, data, [clip_names(data)["test"][0]])
    for event in line.events:
        column = shares[event.onset : event.offset, NAMES.index(event.event)]
        assert event.score == pytest.approx(column.mean(), rel=1e-5)
    assert line.events and line.task == "ave" and line.model == model.name


@pytest.mark.parametrize("name", ["han", "ma"])
def test_llp_has_the_events_that_the_recipe_predicts(run, name):
    model, data = run(name)
    spread(model)
    found = {line.video: line for line in folder_timelines(model, data, batch_size=5)}
    some = 0
    for split in data.splits.values():
        predicted = predict_all(model.net, model.method, split, 8, torch.device("cpu"))
        for row, clip in enumerate(clip_names(data)[split.name]):
            for track in ("audio", "visual"):
                events = llp_events(predicted[track][row].numpy(), data.categories)
                told = [e for e in found[clip].events if e.modality == track]
                assert {(e.event, e.onset, e.offset) for e in told} == {
                    (e.category, e.onset, e.offset) for e in events
                }
                least = 0.4 if name == "han" else 0.5
                assert all(least <= e.score <= 1 for e in told)
                some += len(told)
    assert some > 10


def test_a_threshold_takes_events_away_and_a_median_joins_them(run):
    for name in ("psp-full", "han"):
        model, data = run(name)
        spread(model)

        def count(model=model, data=data, **options):
            lines = folder_timelines(model, data, **options)
            events = [e for line in lines for e in line.events]
            return sum(e.offset - e.onset for e in events), len(events), events

        seconds, _, _ = count()
        fewer, _, kept = count(threshold=0.8)
        assert 0 < fewer < seconds and all(event.score >= 0.8 for event in kept)
        assert 0 < count(smooth=5)[1] < count()[1]


def test_only_the_clips_asked_for(run):
    model, data = run("psp-full")
    names = clip_names(data)
    wanted = [names["test"][1], names["train"][2]]
    assert {line.video for line in folder_timelines(model, data, wanted)} == set(wanted)
    with pytest.raises(AvbookError, match="no features of 'nobody'"):
        list(folder_timelines(model, data, ["nobody"]))


def test_clips_of_one_video_have_names_of_their_own(run):
    model, data = run("psp-full")
    ids = data.train.ids.copy()
    try:
        data.train.ids[1] = data.train.ids[0]
        names = [name for split in clip_names(data).values() for name in split]
        assert len(set(names)) == len(names) and any("-row-" in name for name in names)
    finally:
        data.train.ids[:] = ids


# ----------------------------------------------------------------------------- of other extractors
LITE = {"audio": {"name": "yamnet", "dim": 7}, "visual": {"name": "efficientnet-lite0", "dim": 5}}
VGG = {
    "audio": {"name": "vggish-fc2", "weights": "10086976" + "0" * 56},
    "visual": {"name": "vgg19-block5_pool", "weights": "9" * 64},
}
WORLD = {"filters": "trained", "weights": "e178c817"}
FILMED = {  # the world's videos, given to its own extractors
    name: {"name": f"avbook-{name}-trained", "version": "1", "weights": "e178c817", "dim": 7}
    for name in ("audio", "visual")
}

UNTRAINED = {name: {"name": f"avbook-{name}", "seed": 0, "dim": 7} for name in ("audio", "visual")}


class Folder:
    """What `check_extractors` asks of a data set."""

    def __init__(self, data, filters, kind, hash="other"):
        self.train, self.categories, self.folder = data.train, data.categories, "FOLDER"
        self.filters, self.kind, self.hash = filters, kind, hash


@pytest.mark.parametrize(
    "own, kind, here, here_kind, told",
    [
        (WORLD, "world", WORLD, "world", None),
        (LITE, "folder", json.loads(json.dumps(LITE)), "folder", None),
        (None, "folder", None, "folder", None),
        (None, "official", VGG, "folder", None),
        (VGG, "folder", None, "official", None),
        (WORLD, "world", {**WORLD, "weights": "0"}, "world", "weights in training e178c817"),
        (WORLD, "world", FILMED, "folder", None),
        (FILMED, "folder", WORLD, "world", None),
        ({**WORLD, "weights": "0"}, "world", FILMED, "folder", "filters 0 in training, here avb"),
        (WORLD, "world", {**FILMED, "audio": LITE["audio"]}, "folder", "here yamnet and avbook-v"),
        (LITE, "folder", VGG, "folder", "audio.name in training yamnet, here vggish-fc2"),
        (LITE, "folder", None, "folder", "unknown extractors"),
        (None, "official", LITE, "folder", "published features in training, here yamnet and"),
        (None, "official", {**VGG, "visual": {"name": "vgg16"}}, "folder", "vgg16"),
        (
            None,
            "official",
            {**VGG, "audio": {"name": "vggish-fc2", "weights": "1"}},
            "folder",
            "here",
        ),
        (None, "world", None, "official", "random filters in training, here the published"),
        (None, "world", UNTRAINED, "folder", None),
        (None, "world", {**UNTRAINED, "audio": LITE["audio"]}, "folder", "random filters in train"),
        (WORLD, "world", None, "world", "trained filters e178c817 in training, here the world's r"),
    ],
)
def test_features_of_other_extractors_are_refused(run, own, kind, here, here_kind, told):
    model, data = run("psp-full")
    model = replace(model, data={"hash": "a", "kind": kind, "features": own})
    folder = Folder(data, here, here_kind)
    if told is None:
        check_extractors(model, folder)
        return
    with pytest.raises(AvbookError) as error:
        check_extractors(model, folder)
    text = str(error.value)
    assert told in text and text.startswith("FOLDER: features of other") and "\n" not in text
    folder.hash = "a"  # of the very data of the training
    check_extractors(model, folder)


def test_the_worlds_extractors_are_named_as_they_name_themselves():
    kinds = {"audio": trained.TrainedAudioExtractor, "visual": trained.TrainedVisualExtractor}
    kinds |= {"visual_2d": trained.TrainedFrameExtractor}
    kinds |= {"visual_3d": trained.TrainedMotionExtractor}
    for names in WORLD_NAMES.values():
        for feature, name in names.items():
            assert kinds[feature]().name == name


def test_features_of_another_width_are_refused(run, tmp_path):
    model, _ = run("psp-full")
    write_ave(tmp_path / "wide", audio=9, side=3, visual=5, categories=NAMES)
    with pytest.raises(AvbookError, match="audio_dim 7, here 9"):
        list(folder_timelines(model, open_data(str(tmp_path / "wide"), "ave")))


def test_categories_that_are_not_known(run, tmp_path):
    model, data = run("psp-full")
    silent = replace(model, categories=None)
    assert next(folder_timelines(silent, data)).task == "ave"  # the folder of its training
    write_ave(tmp_path / "ave", audio=7, side=3, visual=5, categories=NAMES, seed=5)
    other = open_data(str(tmp_path / "ave"), "ave")
    assert other.hash != data.hash
    with pytest.raises(AvbookError, match="does not store its categories"):
        list(folder_timelines(silent, other))


@pytest.mark.parametrize("options", [{"smooth": 2}, {"threshold": 0.0}, {"threshold": 1.5}])
def test_options_out_of_range(run, options):
    model, data = run("psp-full")
    with pytest.raises(AvbookError):
        list(folder_timelines(model, data, **options))


def test_the_network_is_not_changed(run):
    model, data = run("han")
    before = {name: value.clone() for name, value in model.net.state_dict().items()}
    list(folder_timelines(model, data))
    assert all(np.array_equal(before[k], v) for k, v in model.net.state_dict().items())
