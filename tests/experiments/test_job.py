"""Stages: made once for all runs that agree in what they depend on, again after an interruption,
apart for anything else."""

import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT, wait_for

from avbook.experiments import job as stages
from avbook.experiments.job import Job
from avbook.experiments.options import Threads
from avbook.experiments.recipe import Recipe


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

    with pytest.raises(KeyboardInterrupt):
        job(tmp_path).stage("base", {}, cut_off)
    job(tmp_path).stage("base", {}, make)
    assert seen == [True]


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

    def lock(path):
        (tmp_path / "go on").touch()  # only now may the other process finish
        return taken(path)

    monkeypatch.setattr(stages, "lock", lock)
    with subprocess.Popen([sys.executable, "-c", MAKER, str(tmp_path)], cwd=ROOT) as other:
        wait_for((tmp_path / "making").exists, other)
        folder = job(tmp_path).stage("base", {}, not_again)
    assert (folder / "weights.txt").read_text() == "w" and other.returncode == 0
