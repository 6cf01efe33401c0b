"""Stages: made once for all runs that agree in what they depend on, again after an interruption,
apart for anything else."""

from pathlib import Path

import pytest

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
