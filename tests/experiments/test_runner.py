"""Many runs side by side: their order, what is told of them, and what stops them."""

import os
import subprocess
import sys
import time

import pytest
from processes import PATIENCE, ROOT

from avbook.errors import AvbookError
from avbook.experiments import runner
from avbook.experiments.runner import run_many

# The stand-in for a run stands inside each test: it is sent whole to the workers, which could not
# import this module.


@pytest.mark.parametrize("jobs", [1, 2])
def test_records_come_in_the_order_of_the_tasks(monkeypatch, jobs):
    def numbered(numbered, where):
        number, task = numbered
        return number, {"seed": task["seed"], "where": where, "quiet": not task.get("progress", 1)}

    monkeypatch.setattr(runner, "_run_numbered", numbered)
    told = []
    tasks = [{"recipe": "toy", "seed": seed} for seed in (5, 3, 4)]
    records = run_many(tasks, "here", jobs=jobs, report=lambda *found: told.append(found))
    assert [record["seed"] for record in records] == [5, 3, 4]
    assert all(record["where"] == "here" for record in records)
    assert [record["quiet"] for record in records] == [jobs > 1] * 3
    assert [(done, of) for _, done, of in told] == [(1, 3), (2, 3), (3, 3)]
    assert sorted(record["seed"] for record, _, _ in told) == [3, 4, 5]
    assert tasks == [{"recipe": "toy", "seed": seed} for seed in (5, 3, 4)]


def test_a_run_is_told_of_when_it_ends(monkeypatch, tmp_path):
    def numbered(numbered, where):
        end = time.monotonic() + PATIENCE
        while numbered[0] == 0 and not (tmp_path / "told of 1").exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        return numbered

    monkeypatch.setattr(runner, "_run_numbered", numbered)
    tasks = [{"seed": 0}, {"seed": 1}]
    told = []

    def report(task, *_):
        told.append(task["seed"])
        (tmp_path / f"told of {task['seed']}").touch()

    records = run_many(tasks, "", jobs=2, report=report)
    assert told == [1, 0] and [record["seed"] for record in records] == [0, 1]


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_run_raises_reaches_the_caller_in_one_line(monkeypatch, jobs):
    def numbered(numbered, where):
        if numbered[0] == 1:
            raise AvbookError("the second: not good")
        return numbered

    monkeypatch.setattr(runner, "_run_numbered", numbered)
    with pytest.raises(AvbookError) as caught:
        run_many([{"seed": seed} for seed in range(3)], "", jobs=jobs)
    assert str(caught.value) == "the second: not good"


INTERRUPTED = """
import os, sys, time
from pathlib import Path
from avbook.experiments import runner

here = Path(sys.argv[1])

def numbered(numbered, where):
    (here / f"worker-{os.getpid()}").touch()
    if numbered[0]:
        (here / "running").touch()
        while True: time.sleep(0.05)
    (here / "record").write_text("finished")
    return numbered

def report(*_):
    while not (here / "running").exists(): time.sleep(0.05)
    os.killpg(0, 2)  # Ctrl-C

runner._run_numbered = numbered
runner.run_many([{"seed": seed} for seed in range(4)], "", jobs=2, report=report)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs Linux's /proc")
def test_control_c_leaves_finished_records_and_no_worker(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=PATIENCE,
    )
    assert done.returncode != 0 and done.stderr.count("Traceback") == 1, done.stderr
    assert done.stderr.splitlines()[-1].startswith("KeyboardInterrupt")
    assert (tmp_path / "record").read_text() == "finished"
    for path in tmp_path.glob("worker-*"):
        assert not os.path.exists(f"/proc/{path.name.partition('-')[2]}")
