"""Folders of features without labels: a trained model predicts their clips by name."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_folders import write_ave, write_llp

from avbook.data.ave import AVE
from avbook.errors import AvbookError
from avbook.experiments.datasets import open_data
from avbook.experiments.models import read_model
from avbook.experiments.recipes import find_recipe
from avbook.experiments.runner import run_seed
from avbook.experiments.trained_timelines import folder_timelines
from avbook.experiments.unlabelled import UnlabelledClips, open_clips

SMALL = {"epochs": 1, "threads": 1, "batch_size": 8, "hidden": 8}
SIZES = {"attention_dim": 8, "head": 8, "bottleneck": 12, "width": 8}


def extractor(name, dim):
    return {"name": name, "version": "1", "weights": None, "seed": None, "dim": dim}


EXTRACTORS = {
    "ave": {"audio": extractor("yamnet", 7), "visual": extractor("lite0", 5)},
    "llp": {
        "audio": extractor("yamnet", 7),
        "visual_2d": extractor("lite0", 11),
        "visual_3d": extractor("lite0", 5),
    },
}


def describe(folder, task, ids, /, **changes):
    told = {"kind": "features", "version": 1, "task": task, "seconds": 10}
    told |= {"extractors": EXTRACTORS[task], "videos": list(ids), **changes}
    (folder / "features.json").write_text(json.dumps(told))


def without_labels(folder):
    for path in folder.iterdir():
        if path.is_file() and "feature" not in path.name:
            path.unlink()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A trained model by task, of the extractors that the folders name."""
    base, found = tmp_path_factory.mktemp("models"), {}
    write_ave(base / "ave", audio=7, side=3, visual=5)
    write_llp(base / "llp", audio=7, d2=11, d3=5)
    for name, options in (("psp-full", {**SMALL, **SIZES}), ("han", {**SMALL, "width": 8})):
        recipe = find_recipe(name)
        data = recipe.open_data(str(base / recipe.task))
        asked = {"preset": "quick", "options": options, "seed": 0}
        run_seed(recipe, data, out=base / "runs", progress=False, device="cpu", **asked)
        (path,) = (base / "runs").glob(f"{name}/*/seed-0.json")
        about = {"hash": "x", "kind": "folder", "features": EXTRACTORS[recipe.task]}
        model = replace(read_model(path), data=about, categories=data.categories)
        torch.manual_seed(0)
        with torch.no_grad():
            for tensor in model.net.parameters():
                tensor.copy_(torch.randn_like(tensor) * 0.7)
        found[recipe.task] = model
    return found


def test_ave_by_the_order_of_the_rows(models, tmp_path):
    folder = tmp_path / "ave"
    write_ave(folder, n=12, audio=7, side=3, visual=5, seed=3)
    data = AVE(folder)
    ids = [f"video {row} é" for row in range(12)]
    by_row = {int(row): line for row, line in _lines(models["ave"], data)}
    without_labels(folder)
    describe(folder, "ave", ids)
    clips = open_clips(str(folder), "ave")
    assert isinstance(clips, UnlabelledClips) and clips.filters == EXTRACTORS["ave"]
    found = list(folder_timelines(models["ave"], clips))
    assert [line.video for line in found] == ids
    assert any(line.events for line in found)
    for row, line in enumerate(found):
        same(line.events, by_row[row].events)
        assert line.extractors == EXTRACTORS["ave"]


def same(events, others):
    """Sums in other batches have other last bits."""
    assert [event[:3] for event in events] == [event[:3] for event in others]
    for one, other in zip(events, others):
        assert one.score == pytest.approx(other.score, abs=1e-4)


def _lines(model, data):
    """Row and timeline of each clip of a labelled folder."""
    model = replace(model, data={**model.data, "hash": data.hash})
    rows = [row for split in data.splits.values() for row in split.rows]
    return zip(rows, folder_timelines(model, data))


def test_llp_by_the_files_names(models, tmp_path):
    folder = tmp_path / "llp"
    write_llp(folder, audio=7, d2=11, d3=5, seed=3)
    data = open_data(str(folder), "llp")
    ids = [str(name) for name in data.test.ids]
    model = replace(models["llp"], data={**models["llp"].data, "hash": data.hash})
    expected = {line.video: line.events for line in folder_timelines(model, data, ids)}
    without_labels(folder)
    describe(folder, "llp", sorted(ids))
    found = list(folder_timelines(models["llp"], open_clips(str(folder), "llp")))
    assert [line.video for line in found] == sorted(ids)
    for line in found:
        same(line.events, expected[line.video])


def test_a_labelled_folder_is_opened_as_a_data_set(tmp_path):
    write_ave(tmp_path / "ave", audio=7, side=3, visual=5)
    assert isinstance(open_clips(str(tmp_path / "ave"), "ave"), AVE)
    describe(tmp_path / "ave", "ave", [])
    (tmp_path / "ave" / "train_order.h5").unlink()
    with pytest.raises(AvbookError, match="audio of 24 clips, but features.json names 0"):
        open_clips(str(tmp_path / "ave"), "ave")


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"task": "llp"}, "extractors of audio, visual; expected"),
        ({"task": "llp", "extractors": EXTRACTORS["llp"]}, "for task 'llp'; expected task 'ave'"),
        ({"version": 2}, "version 2"),
        ({"kind": "labels"}, "kind 'labels'"),
        ({"seconds": 4}, "says 4 seconds, but audio_feature.h5 has 10"),
        ({"videos": ["a"]}, "audio of 12 clips, but features.json names 1"),
        ({"videos": None}, "does not name its videos"),
        ({"videos": 3}, "videos is 3"),
        ({"seconds": 0}, "seconds is 0"),
    ],
)
def test_a_description_that_does_not_fit(tmp_path, changes, told):
    write_ave(tmp_path, n=12, audio=7, side=3, visual=5)
    without_labels(tmp_path)
    describe(tmp_path, "ave", range(12), **{"videos": [str(k) for k in range(12)], **changes})
    with pytest.raises(AvbookError) as error:
        open_clips(str(tmp_path), "ave")
    assert told in str(error.value) and "\n" not in str(error.value)


def test_other_extractors_and_features_that_are_not_finite(models, tmp_path):
    import h5py

    write_ave(tmp_path, n=6, audio=7, side=3, visual=5)
    without_labels(tmp_path)
    ids = list("abcdef")
    other = {**EXTRACTORS["ave"], "audio": extractor("vggish", 7)}
    describe(tmp_path, "ave", ids, extractors=other)
    with pytest.raises(AvbookError, match="audio.name in training yamnet, here vggish"):
        list(folder_timelines(models["ave"], open_clips(str(tmp_path), "ave")))
    describe(tmp_path, "ave", ids)
    with h5py.File(tmp_path / "audio_feature.h5", "r+") as file:
        file["avadataset"][3, 2, 1] = np.nan
    with pytest.raises(AvbookError, match="NaN or infinity in the audio features of 'd'"):
        list(folder_timelines(models["ave"], open_clips(str(tmp_path), "ave")))
    (tmp_path / "visual_feature.h5").unlink()
    with pytest.raises(AvbookError, match="visual_feature.h5: no such file"):
        open_clips(str(tmp_path), "ave")
