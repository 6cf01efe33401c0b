"""What is written beside a run, and what is no record."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from processes import ROOT

from avbook.errors import AvbookError
from avbook.experiments.job import write_predictions
from avbook.experiments.recipes import find_recipe
from avbook.experiments.records import read_record
from avbook.experiments.runner import _without_nan, run_key


def test_predictions_are_small_integers_without_pickle(tmp_path):
    write_predictions(
        tmp_path / "p.npz",
        {"last": np.full((3, 10), 28), "val_selected": {"audio": np.ones((2, 2))}},
    )
    with np.load(tmp_path / "p.npz", allow_pickle=False) as arrays:
        assert arrays["last"].dtype == np.uint8 and arrays["last"].max() == 28
        assert "val_selected.audio" in arrays


def test_what_is_no_record_is_named(tmp_path):
    for text in ("{", json.dumps({"recipe": "x"}), "[]"):
        (tmp_path / "seed-0.json").write_text(text)
        with pytest.raises(AvbookError, match="seed-0.json"):
            read_record(tmp_path / "seed-0.json")


def test_a_figure_with_nothing_to_count_is_null_in_a_record():
    assert _without_nan({"a": [float("nan"), 1.5], "b": (2, "x")}) == {
        "a": [None, 1.5],
        "b": [2, "x"],
    }


def test_every_stored_record_lies_where_its_run_would_be_looked_for():
    """A renamed recipe, option, preset or value of a preset would orphan records without a word."""
    paths = sorted((ROOT / "nbs/records").glob("*/*/seed-*.json"))
    assert len(paths) > 600
    for path in paths:
        record = read_record(path)
        data = SimpleNamespace(**record["data"])
        recipe = find_recipe(record["recipe"])
        key = run_key(recipe, record["preset"], record["options"], data)
        assert path.parent.name == key and path.parts[-3] == recipe.name, path
        assert record["data"]["hash"] in ("45268277de4c", "5fbfe65dbf4c"), path
