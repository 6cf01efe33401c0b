"""Stages: made once for all runs that agree in what they depend on, again after an interruption,
apart for anything else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT, wait_for

from avbook.errors import AvbookError
from avbook.experiments import job as stages
from avbook.experiments.job import Job, alone
from avbook.experiments.options import Threads
from avbook.experiments.recipe import Recipe
from avbook.experiments.recipes import find_recipe


class Data:
    hash = "abc"


def job(tmp_path: Path, seed: int = 0, **more) -> Job:
    recipe = Recipe("toy", "ave", "", Threads, {})
    return Job(recipe, {}, more.get("data", Data), seed, tmp_path / "run", tmp_path / "stages")


def test_a_stage_is_made_once_and_shared_by_what_it_depends_on(tmp_path):
    made = []

    def make(folder):
        made.append(folder)
        (folder / "weights.txt").write_text("w")

    first = job(tmp_path).stage("base", {"lr": 1}, make)
    assert job(tmp_path).stage("base", {"lr": 1}, make) == first and len(made) == 1
    assert (first / "weights.txt").read_text() == "w"
    other = type("Other", (), {"hash": "abd"})
    apart = [
        job(tmp_path).stage("base", {"lr": 2}, make),
        job(tmp_path, seed=1).stage("base", {"lr": 1}, make),
        job(tmp_path).stage("refine", {"lr": 1}, make),
        job(tmp_path, data=other).stage("base", {"lr": 1}, make),
    ]
    assert len({first, *apart}) == 5 == len(made)


def test_an_interrupted_stage_is_made_again_in_its_folder(tmp_path):
    seen = []

    def cut_off(folder):
        (folder / "half").write_text("1")
        raise KeyboardInterrupt

    def make(folder):
        seen.append((folder / "half").exists())
        (folder / ".0123abcd.weights.txt").touch()  # as a kill leaves it

    with pytest.raises(KeyboardInterrupt):
        job(tmp_path).stage("base", {}, cut_off)
    folder = job(tmp_path).stage("base", {}, make)
    assert seen == [True]
    assert sorted(path.name for path in folder.iterdir()) == ["half", "stage.json"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "no lock is left"


@pytest.mark.parametrize(
    "name, value, said",
    [
        ("recipe", "tox", "recipe is tox, asked is toy"),
        ("stage", "refine", "stage is refine"),
        ("settings", {"lr": 2}, "settings.lr is 2, asked is 1"),
        ("seed", 1, "seed is 1, asked is 0"),
        ("data", "abd", "data is abd, asked is abc"),
        ("settings", [], "settings is"),
        ("seed", "0", "seed is '0'"),
        ("data", ..., "it lacks data"),
    ],
)
def test_a_stage_that_is_another_one_than_its_folder_says_is_refused(tmp_path, name, value, said):
    def again(folder):
        pytest.fail("made again")

    folder = job(tmp_path).stage("base", {"lr": 1}, lambda folder: None)
    told = json.loads((folder / "stage.json").read_text()) | {name: value}
    told = {key: part for key, part in told.items() if part is not ...}
    (folder / "stage.json").write_text(json.dumps(told))
    with pytest.raises(AvbookError) as error:
        job(tmp_path).stage("base", {"lr": 1}, again)
    text = str(error.value)
    assert said in text and text.startswith(f"{folder}/stage.json") and "\n" not in text
    assert f"remove {folder}" in text


def test_a_broken_description_is_one_line(tmp_path):
    done = job(tmp_path).stage("base", {}, lambda folder: None) / "stage.json"
    for text in (b"", b"{", b"\xff", b"[" * 10**6):
        done.write_bytes(text)
        with pytest.raises(AvbookError, match="stage.json: not a stage's description") as error:
            job(tmp_path).stage("base", {}, lambda folder: None)
        assert "\n" not in str(error.value)
    done.unlink()
    os.mkfifo(done)
    with pytest.raises(AvbookError, match="stage.json: is a pipe"):
        job(tmp_path).stage("base", {}, lambda folder: None)


# ---------------------------------------------------------------------------- what the loop is told
@pytest.mark.parametrize(
    "recipe, changes, schedule, clip",
    [
        ("psp-full", {}, ("step", 60, 0.8, 170), None),
        ("cmran-full", {}, ("milestones", (10, 20, 30), 0.5), 0.1),
        ("cmran-weak", {"decay_at": "none", "clip": 0}, ("milestones", (), 0.5), None),
        ("cmran-weak", {}, ("milestones", (5, 20, 40), 0.5), 0.5),
    ],
)
def test_a_recipes_schedule_and_clip_reach_the_loop(
    tmp_path, monkeypatch, recipe, changes, schedule, clip
):
    monkeypatch.setattr("avbook.training.loop.fit", lambda *args, **options: options)
    found = find_recipe(recipe)
    asked = job(tmp_path)
    asked.settings = found.preset("paper") | found.check(changes)
    options = asked.fit(None, None)
    assert (options["schedule"], options["clip"]) == (schedule, clip)


# ----------------------------------------------------------------------------------- one at a time
def test_the_lock_goes_even_where_the_block_fails(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), alone(tmp_path / "a" / ".lock"):
            assert (tmp_path / "a" / ".lock").exists()
            raise KeyboardInterrupt
        assert not list((tmp_path / "a").iterdir())


def test_without_locks_nobody_waits(tmp_path, monkeypatch):
    def none(path, **how):
        raise AvbookError("its filesystem has no locks")

    monkeypatch.setattr(stages, "lock", none)
    with alone(tmp_path / ".lock"):
        pass
    with pytest.raises(AvbookError, match="of the block"), alone(tmp_path / ".lock"):
        raise AvbookError("of the block")


def test_processes_of_one_launch_do_not_wait_for_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "lock", lambda path: pytest.fail("taken"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with alone(tmp_path / ".lock"):
        pass


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AvbookError, match="cannot be written .*choose another --out") as error:
        with alone(tmp_path / "file" / ".lock"):
            pass
    assert "\n" not in str(error.value)


MAKER = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from avbook.experiments.job import Job

here = Path(sys.argv[1])

def make(folder):
    (here / "making").touch()
    while not (here / "go on").exists(): time.sleep(0.01)
    (folder / "weights.txt").write_text("w")

recipe, data = SimpleNamespace(name="toy"), SimpleNamespace(hash="abc")
Job(recipe, {}, data, 0, here / "run", here / "stages").stage("base", {}, make)
"""


def test_who_asks_while_a_stage_is_made_waits_for_it(tmp_path, monkeypatch):
    def not_again(folder):
        pytest.fail("made a second time")

    taken = stages.lock

    def lock(path, **how):
        (tmp_path / "go on").touch()  # only now may the other process finish
        return taken(path, **how)

    monkeypatch.setattr(stages, "lock", lock)
    with subprocess.Popen([sys.executable, "-c", MAKER, str(tmp_path)], cwd=ROOT) as other:
        try:
            wait_for((tmp_path / "making").exists, other)
            folder = job(tmp_path).stage("base", {}, not_again)
        finally:
            (tmp_path / "go on").touch()
    assert (folder / "weights.txt").read_text() == "w" and other.returncode == 0
