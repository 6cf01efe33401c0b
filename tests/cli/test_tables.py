"""`avbook table`: which runs the book's rule on seeds asks for, and of which data a table is."""

import json
import random

import pytest
from made_folders import write_ave
from typer.testing import CliRunner

from avbook.cli.commands import app
from avbook.errors import AvbookError
from avbook.experiments import runner
from avbook.experiments.datasets import open_data
from avbook.experiments.keys import record_path
from avbook.experiments.recipe import resolve_settings
from avbook.experiments.recipes import find_recipe
from avbook.experiments.runner import Outcome
from avbook.papers import TABLES, find_tables

# how far PSP is ahead of each ablation of Table 1, and by how much that varies with the seed
AHEAD = {"none": (3.0, 0.5), "asp": (-3.0, 0.5), "wpsp": (0.0, 2.0), "sapsp": (0.05, 2.0)}


class Cut(Exception):
    """As where the machine goes down."""


class Runs:
    """Stands for `run_outcomes`: writes records with made-up scores, and notes what it is asked."""

    def __init__(self):
        self.asked, self.left = [], None  # (ablation, seed); runs until the cut

    def __call__(self, tasks, where, *, jobs=1, report=lambda outcome, done, of: None):
        return [self.run(task, where) for task in tasks]

    def run(self, task, where):
        recipe, data = find_recipe(task["recipe"]), open_data(where)
        _, options = resolve_settings(recipe, task["preset"], task["options"])
        path = record_path(task["out"], recipe, task["preset"], options, data, task["seed"])
        self.asked.append((options.get("prune", "psp"), task["seed"]))
        if path.exists():
            return Outcome(json.loads(path.read_text()), path, read=True)
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Cut
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.record(recipe, options, task, data)))
        return Outcome(json.loads(path.read_text()), path, read=False)

    def record(self, recipe, options, task, data):
        ahead, varies = AHEAD.get(options.get("prune"), (0.0, 0.0))
        dice = random.Random(f"{options} {task['seed']}")
        accuracy = 70.0 - ahead + varies * dice.uniform(-1, 1)
        scores = {s: {"accuracy": accuracy} for s in ("val_selected", "last", "test_selected")}
        return {
            "recipe": recipe.name,
            "preset": task["preset"],
            "options": options,
            "seed": task["seed"],
            "data": {"kind": data.kind, "name": data.name, "hash": data.hash},
            "metrics": {"test": scores},
            "command": "avbook run",
        }


@pytest.fixture
def runs(monkeypatch):
    found = Runs()
    monkeypatch.setattr(runner, "run_outcomes", found)
    return found


@pytest.fixture
def folder(tmp_path):
    return write_ave(tmp_path / "ave", n=24, noisy=0)[0]


def table(folder, out, *words):
    words = ["table", "psp-1", "--only", "full", *words, "--data", folder, "--out", out]
    done = CliRunner().invoke(app, [*map(str, words), "--preset", "quick", "--jobs", "1"])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def both(*ablations, seeds):
    return {(name, seed) for name in ablations for seed in seeds}


def test_only_the_undecided_get_more_seeds_and_no_more_than_asked(runs, folder, tmp_path):
    done = table(folder, tmp_path / "r", "--undecided", "20")
    every = both("psp", *AHEAD, seeds=range(10))
    again = both("psp", "wpsp", "sapsp", seeds=range(10, 20))
    assert len(runs.asked) == len(set(runs.asked)) and set(runs.asked) == every | again
    assert "2 directions undecided on 10 seeds: 30 more runs, up to 20 seeds" in done.stderr
    assert "80 run now, 0 read" in done.stderr
    assert "directions: 4 in all, 1 agree, 1 disagree, 2 undecided, 0 not run" in done.stdout


def test_what_was_cut_off_goes_on_with_the_same_directions(runs, folder, tmp_path):
    """One that is decided on 13 seeds, say, was not to be looked at there."""
    table(folder, tmp_path / "whole", "--undecided", "20")
    expected, runs.asked, runs.left = set(runs.asked), [], 64
    with pytest.raises(Cut):
        table(folder, tmp_path / "cut", "--undecided", "20")
    for path in (tmp_path / "cut").glob("psp-full/*/seed-1[0-9].json"):
        record = json.loads(path.read_text())
        if record["options"]:  # far behind, so that the interval of 14 seeds leaves zero out
            record["metrics"]["test"]["val_selected"]["accuracy"] = 0.0
            path.write_text(json.dumps(record))
    runs.asked, runs.left = [], None
    done = table(folder, tmp_path / "cut", "--undecided", "20")
    assert set(runs.asked) == expected and "16 run now, 64 read" in done.stderr


def test_the_rule_may_be_applied_in_two_steps(runs, folder, tmp_path):
    table(folder, tmp_path / "r", "--seeds", "10")
    assert set(runs.asked) == both("psp", *AHEAD, seeds=range(10))
    done = table(folder, tmp_path / "r", "--seeds", "10", "--undecided", "20")
    assert "30 run now, 50 read" in done.stderr


def test_where_all_is_decided_nothing_more_is_run(runs, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(AHEAD, "wpsp", (1.0, 0.1))
    monkeypatch.setitem(AHEAD, "sapsp", (1.0, 0.1))
    done = table(folder, tmp_path / "r", "--undecided", "20")
    assert len(runs.asked) == 50 and "0 directions undecided on 10 seeds\n" in done.stderr


@pytest.mark.parametrize(
    "words, said",
    [
        (("--undecided", "10"), "--undecided 10: expected more than the 10 seeds"),
        (("--seeds", "30", "--undecided", "20"), "expected more than the 30 seeds"),
    ],
)
def test_fewer_seeds_for_the_undecided_are_refused(runs, folder, tmp_path, words, said):
    with pytest.raises(AvbookError, match=said):
        table(folder, tmp_path / "r", *words)
    assert not runs.asked


def test_records_of_other_data_are_left_out_and_said_to_be(runs, folder, tmp_path):
    first = open_data(str(folder)).hash
    table(folder, tmp_path / "r", "--seeds", "2")
    other = write_ave(tmp_path / "other", n=24, noisy=0, seed=1)[0]
    dry = table(other, tmp_path / "r", "--dry")
    assert "0 run now, 0 read" in dry.stderr and "4 not run" in dry.stdout
    done = table(other, tmp_path / "r", "--seeds", "2")
    assert "10 run now, 0 read" in done.stderr
    assert "Ours: data folder: other; 2 seeds" in done.stdout
    for said in (dry.stderr, done.stderr):
        assert "left out: 10 records in" in said and f"of other data, ave ({first})" in said
    assert "left out" not in table(folder, tmp_path / "alone", "--seeds", "2").stderr


def test_a_papers_key_stands_for_all_of_its_tables():
    assert find_tables(["psp-2", "psp", "psp-1"]) == [
        TABLES[key] for key in ("psp-2", "psp-1", "psp-3", "psp-4", "psp-code")
    ]
    assert {t.key for t in find_tables(["psp", "ma", "cmlcl", "cmran"])} == set(TABLES)
    with pytest.raises(AvbookError, match="table 'pps' is not known: expected one of psp, ma"):
        find_tables(["pps"])
