"""A model as one file: it predicts what its run predicts, says what it is, and stands alone."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from made_folders import write_ave, write_llp

import avbook
from avbook.errors import AvbookError
from avbook.experiments.datasets import open_data
from avbook.experiments.exported import export_model
from avbook.experiments.models import load_model, read_model
from avbook.experiments.recipes import find_recipe
from avbook.experiments.runner import run_seed
from avbook.experiments.trained_timelines import folder_timelines
from avbook.training.weights import read_tensors, write_tensors

SMALL = {"epochs": 1, "threads": 1, "batch_size": 8, "hidden": 8}
NAMES = ("A", "B, b", "C", "D")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder of a run of PSP and one of HAN, by task: record and data."""
    base, found = tmp_path_factory.mktemp("exported"), {}
    write_ave(base / "ave", audio=7, side=3, visual=5, categories=NAMES)
    write_llp(base / "llp", audio=7, d2=11, d3=5)
    sizes = {"attention_dim": 8, "head": 8, "bottleneck": 12, "width": 8}
    for name, options in (("psp-full", {**SMALL, **sizes}), ("han", {**SMALL, "width": 8})):
        recipe = find_recipe(name)
        data = recipe.open_data(str(base / recipe.task))
        asked = {"preset": "quick", "options": options, "seed": 2}
        run_seed(recipe, data, out=base / "runs", progress=False, device="cpu", **asked)
        (path,) = (base / "runs").glob(f"{name}/*/seed-2.json")
        found[recipe.task] = path, data
    return found


@pytest.fixture
def exported(runs, tmp_path):
    return export_model(runs["ave"][0], tmp_path / "mine.safetensors")


def retell(path, drop=(), **changes):
    tensors, meta = read_tensors(path)
    meta = {name: value for name, value in {**meta, **changes}.items() if name not in drop}
    write_tensors(path, tensors, meta)


@pytest.mark.parametrize("task", ["ave", "llp"])
def test_the_file_alone_gives_the_same_timelines(runs, tmp_path, task):
    record, data = runs[task]
    path = export_model(record, tmp_path / "elsewhere" / "mine.safetensors")
    moved = tmp_path / "moved.safetensors"
    shutil.move(path, moved)
    data = open_data(str(data.folder), task)
    own, again = read_model(record), read_model(moved)
    assert list(folder_timelines(own, data)) == list(folder_timelines(again, data))
    first, second = own.net.state_dict(), load_model(moved).state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert avbook.load_model is load_model and not again.net.training


def test_it_says_what_it_is(runs, exported):
    record = json.loads(runs["ave"][0].read_text())
    _, meta = read_tensors(exported)
    assert meta["kind"] == "avbook model" and meta["version"] == 1
    assert meta["avbook"] == avbook.__version__ and meta["recipe"] == "psp-full"
    assert meta["settings"] == record["settings"] and meta["seed"] == 2
    assert meta["data"]["hash"] == record["data"]["hash"]
    assert meta["categories"] == list(NAMES)
    assert meta["dims"]["audio_dim"] == 7 and meta["dims"]["categories"] == 4
    scores = record["metrics"]["test"]["val_selected"]
    assert meta["test"] == scores and meta["epoch"] == record["epochs"]["val_selected"]
    json.loads(json.dumps(meta, allow_nan=False))


def test_extractors_come_along(runs, tmp_path):
    record, _ = runs["ave"]
    for suffix in (".json", ".safetensors"):
        shutil.copy(record.with_suffix(suffix), tmp_path)
    path = tmp_path / "seed-2.safetensors"
    _, meta = read_tensors(path)
    extractors = {"audio": {"name": "yamnet", "dim": 7}, "visual": {"name": "lite0", "dim": 5}}
    (tmp_path / "seed-2.json").unlink()
    retell(path, data={**meta["data"], "features": extractors}, test={"rare": math.nan})
    export_model(path, tmp_path / "mine.safetensors")
    assert read_model(tmp_path / "mine.safetensors").data["features"] == extractors
    assert read_tensors(tmp_path / "mine.safetensors")[1]["test"] == {"rare": None}


def test_a_json_file_of_its_name_is_no_record_of_it(exported):
    exported.with_suffix(".json").write_text('{"video": "mine"}')
    assert read_model(exported).categories == NAMES


def test_an_exported_file_can_be_exported(exported, tmp_path):
    for k in range(4):  # safetensors alone sorts the metadata in another way each time
        again = export_model(exported, tmp_path / f"again-{k}.safetensors")
        assert again.read_bytes() == exported.read_bytes()


# --------------------------------------------------------------------------------------- bad input
def refused(call, *words):
    with pytest.raises(AvbookError) as error:
        call()
    text = str(error.value)
    assert "\n" not in text and all(word in text for word in words), text


def test_nothing_is_replaced_and_nothing_is_left(runs, exported, tmp_path):
    record, _ = runs["ave"]
    before = exported.read_bytes()
    refused(lambda: export_model(record, exported), str(exported), "exists already")
    refused(lambda: export_model(record, tmp_path / "mine.pt"), "ends in .safetensors")
    refused(lambda: export_model(tmp_path / "no.json", tmp_path / "b.safetensors"), "no such file")
    (tmp_path / "file").write_text("x")
    refused(lambda: export_model(record, tmp_path / "file" / "c.safetensors"), "file: is a file")
    assert exported.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine.safetensors"]


def test_a_file_of_another_version_and_one_that_was_changed(exported):
    retell(exported, version=2)
    refused(lambda: load_model(exported), "a model of version 2", "export it again")
    retell(exported, version=1, categories=["A"])
    refused(lambda: load_model(exported), "1 categories, but sizes for 4")
    retell(exported, categories=[1, 2, 3, 4])
    refused(lambda: load_model(exported), "categories.0 is 1")
    retell(exported, drop=("recipe",), categories=list(NAMES))
    refused(lambda: load_model(exported), "it lacks recipe")


def test_a_broken_file_is_one_line(exported):
    data = exported.read_bytes()
    for broken in (b"", data[:100], data[:-10], b"x" * 50, np.random.default_rng(0).bytes(500)):
        exported.write_bytes(broken)
        refused(lambda: load_model(exported), str(exported))


def test_categories_that_the_run_does_not_say(runs, tmp_path):
    record, _ = runs["ave"]
    for suffix in (".json", ".safetensors"):
        shutil.copy(record.with_suffix(suffix), tmp_path)
    path = tmp_path / "seed-2.safetensors"
    retell(path, drop=("categories",))
    assert read_model(path).categories is None
    refused(lambda: export_model(path, tmp_path / "a.safetensors"), "does not store the categories")


def test_categories_of_runs_of_before_on_the_world_are_the_data_sets(runs, tmp_path):
    """The world has the classes of the data set it is like."""
    record, data = runs["llp"]
    for suffix in (".json", ".safetensors"):
        shutil.copy(record.with_suffix(suffix), tmp_path)
    retell(tmp_path / "seed-2.safetensors", drop=("categories",))
    assert read_model(tmp_path / "seed-2.json").categories is None
    told = json.loads((tmp_path / "seed-2.json").read_text())
    told["data"]["kind"] = "world"
    (tmp_path / "seed-2.json").write_text(json.dumps(told))
    retell(tmp_path / "seed-2.safetensors", data=told["data"])
    assert read_model(tmp_path / "seed-2.json").categories == data.categories
