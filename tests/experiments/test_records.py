"""What is written beside a run, and what is no record."""

import json
import os
from types import SimpleNamespace

import pytest
from made_records import put
from processes import ROOT

from avbook.errors import AvbookError
from avbook.experiments.directions import compare
from avbook.experiments.keys import run_key
from avbook.experiments.recipes import find_recipe
from avbook.experiments.records import Records, read_record
from avbook.experiments.tables import table_rows
from avbook.features.trained import extractor_weights
from avbook.papers import find_table


@pytest.fixture
def record(tmp_path):
    """A record, and the file it lies in."""
    put(tmp_path, "psp-full", {}, 0, 70.0)
    (path,) = tmp_path.glob("*/*/seed-0.json")
    return json.loads(path.read_text()), path


def test_what_is_no_record_is_named(tmp_path):
    path = tmp_path / "seed-0.json"
    for text in (
        b"{",
        b"[]",
        b"",
        b'{"recipe": "x"}',
        b"\xff\xfe",
        b"[" * 10**6,
        b'{"seed": NaN}',
        b'{"seed": ' + 5000 * b"1" + b"}",
    ):
        path.write_bytes(text)
        with pytest.raises(AvbookError, match="seed-0.json: not a run record") as error:
            read_record(path)
        assert "\n" not in str(error.value) and "move it away" in str(error.value)


def test_what_is_no_file_is_named(tmp_path):
    path = tmp_path / "seed-0.json"
    os.mkfifo(path)
    with pytest.raises(AvbookError, match="seed-0.json: is a pipe"):
        read_record(path)


@pytest.mark.parametrize(
    "keys, value, said",
    [
        (("recipe",), 3, "recipe is 3"),
        (("preset",), None, "preset is None"),
        (("options",), [], "options is"),
        (("seed",), "0", "seed is '0'"),
        (("seed",), True, "seed is True"),
        (("seed",), -1, "seed is -1"),
        (("data",), "w", "data is 'w'"),
        (("data", "hash"), 7, "data.hash is 7"),
        (("data", "kind"), ..., "it lacks data.kind"),
        (("metrics",), {}, "it lacks metrics.test"),
        (("metrics", "test", "last"), ..., "it lacks metrics.test.last"),
        (("metrics", "test", "last", "accuracy"), "70", "metrics.test.last.accuracy is '70'"),
        (("command",), ..., "it lacks command"),
        (("history",), [{"epoch": "1", "loss": 0}], "history.0.epoch is '1'"),
        (("finished",), 2026, "finished is 2026"),
    ],
)
def test_a_value_of_another_type_is_named(record, keys, value, said):
    found, path = record
    part = found
    for key in keys[:-1]:
        part = part[key]
    if value is ...:
        del part[keys[-1]]
    else:
        part[keys[-1]] = value
    path.write_text(json.dumps(found))
    with pytest.raises(AvbookError) as error:
        Records(path.parents[2])
    assert said in str(error.value) and "\n" not in str(error.value)


def test_more_than_is_known_and_figures_with_nothing_to_count_are_fine(record):
    found, path = record
    found["of_tomorrow"] = {"a": [1, None]}
    found["metrics"]["test"]["last"]["accuracy"] = None
    path.write_text(json.dumps(found))
    assert read_record(path) == found


def test_records_are_of_one_data_set_and_one_a_seed(tmp_path):
    put(tmp_path, "psp-full", {}, 0, 70.0, data="ave", hash="a")
    put(tmp_path, "psp-full", {}, 1, 71.0, data="copy", hash="a")
    put(tmp_path, "psp-full", {}, 0, 70.0, data="copy", hash="a")
    assert [r["seed"] for r in Records(tmp_path).of("psp-full")] == [0, 1]
    put(tmp_path, "psp-full", {}, 0, 50.0, data="ave", hash="b")  # the folder has changed since
    records = Records(tmp_path)
    for data in (None, "ave"):
        with pytest.raises(AvbookError, match=r"2 data sets, ave \(a\), .*ave \(b\)"):
            records.of("psp-full", data=data)
    assert [r["seed"] for r in records.of("psp-full", data="a")] == [0, 1]
    assert [r["seed"] for r in records.of("psp-full", data="b")] == [0]
    put(tmp_path, "psp-full", {}, 1, 70.5, data="other copy", hash="a")
    with pytest.raises(AvbookError, match="two records of seed 1 of one setting"):
        Records(tmp_path).of("psp-full", data="a")


def test_a_table_and_a_comparison_are_of_one_data_set(tmp_path):
    put(tmp_path, "psp-full", {}, 0, 70.0, hash="a")
    put(tmp_path, "psp-full", {"prune": "asp"}, 0, 60.0, hash="b")
    records = Records(tmp_path)
    with pytest.raises(AvbookError, match="table psp-1 come from 2 data sets"):
        table_rows(find_table("psp-1"), records)
    with pytest.raises(AvbookError, match="2 data sets"):
        compare(records.of("psp-full"), records.of("psp-full", {"prune": "asp"}))
    rows = table_rows(find_table("psp-1"), records, data="a")
    assert [row["ours"] for row in rows if row["seeds"]] == [70.0]


@pytest.mark.parametrize(
    "folder, least, hashes, filters",
    [
        ("records", 400, ("94dd19f0afad", "e9e63d7f3a62"), "trained"),
        ("records_random", 600, ("035b76623a55", "3da1f8cb2d65"), None),
    ],
)
def test_every_stored_record_lies_where_its_run_would_be_looked_for(folder, least, hashes, filters):
    """A renamed recipe, option, preset or value of a preset would orphan records without a word."""
    paths = sorted((ROOT / "nbs" / folder).glob("*/*/seed-*.json"))
    assert len(paths) > least
    for path in paths:
        record = read_record(path)
        data = SimpleNamespace(**record["data"])
        recipe = find_recipe(record["recipe"])
        key = run_key(recipe, record["preset"], record["options"], data)
        assert path.parent.name == key and path.parts[-3] == recipe.name, path
        assert record["data"]["hash"] in hashes, path
        said = record["data"].get("features")
        assert (said and said["filters"]) == filters, path
        assert said is None or said["weights"] == extractor_weights().hash, path
        world = {"world", "world:small:0:trained"} if said else {"world:small:0:random"}
        assert record["command"].split()[4] in world, path
