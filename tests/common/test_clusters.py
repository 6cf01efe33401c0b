"""Calls made by the workers of a cluster: a real dask scheduler with two workers on this machine,
and ray where it is installed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from made_folders import write_ave
from processes import ROOT, wait_for
from tiny_runs import TINY

import avbook
from avbook.common.workers import count_workers, in_processes, on_cluster, use_engine
from avbook.errors import AvbookError
from avbook.experiments.runner import run_outcomes

pytest.importorskip("distributed")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

# Functions that a worker calls stand inside the tests: those are sent whole, while a worker could
# not import this module.


class Started:
    """A scheduler and its workers, each in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder, self.processes = folder, []
        self.address = self._start("scheduler", r"Scheduler at: +(\S+)", "--port", "0")

    def _start(self, kind: str, said: str, *options: str, **environment: str) -> str:
        folder = self.folder / f"{kind}-{len(self.processes)}"
        folder.mkdir(parents=True)
        words = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--host", "127.0.0.1"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [*words, "--no-dashboard", *options],
                cwd=folder,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            )
        self.processes.append(process)
        wait_for(lambda: re.search(said, (folder / "log").read_text()), process)
        found = re.search(said, (folder / "log").read_text())
        return found[1]

    def add_worker(self, threads: int = 1) -> subprocess.Popen:
        number = len(self.processes)
        self._start(
            "worker",
            r"Start worker at: +(\S+)",
            self.address,
            "--no-nanny",
            "--nthreads",
            str(threads),
            "--local-directory",
            str(self.folder),
            AVBOOK_CACHE=str(self.folder / f"cache-{number}"),
        )
        return self.processes[-1]

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    found = Started(tmp_path_factory.mktemp("dask"))
    try:
        found.add_worker()
        found.add_worker()
        yield found
    finally:
        found.stop()


def test_calls_are_made_by_the_workers(dask):
    def work(n):
        import torch

        if n == 5:
            raise FileNotFoundError(2, "no such file", "x")
        time.sleep(0.1)
        return n * n, os.getpid(), torch.get_num_threads(), on_cluster()

    with use_engine("dask", dask.address):
        assert on_cluster() and count_workers() > 2 and count_workers(2) == 2
        found = list(in_processes(work, range(5), count_workers(), threads=3))
        with pytest.raises(FileNotFoundError, match="no such file"):
            list(in_processes(work, range(6), 1, ordered=False))
    assert not on_cluster()
    assert [square for square, *_ in found] == [0, 1, 4, 9, 16]
    assert {pid for _, pid, *_ in found} == {one.pid for one in dask.processes[1:3]}
    assert {rest for *_, rest in [(one[2:]) for one in found]} == {False}
    assert {one[2] for one in found} == {3}


def test_a_worker_of_another_version_is_one_line(dask, monkeypatch):
    monkeypatch.setattr(avbook, "__version__", "9.9")
    with use_engine("dask", dask.address), pytest.raises(AvbookError) as caught:
        list(in_processes(lambda n: n, range(2), 2))
    assert re.match(r"the worker on \S+ has avbook 0\S+; expected 9.9", str(caught.value))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_ave(tmp_path_factory.mktemp("data") / "ave", n=24, noisy=0)[0]


def tasks(out, **options):
    common = {"recipe": "psp-full", "preset": "quick", "out": str(out), "progress": False}
    return [{**common, "options": {**TINY, **options}, "seed": seed} for seed in range(3)]


MEASURED = {"seconds", "peak_memory_mb", "history", "finished", "command"}


def contents(out: Path) -> dict[str, object]:
    """By name what stands among the records, without what a clock says."""
    found = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        found[str(path.relative_to(out))] = (
            {k: v for k, v in json.loads(path.read_text()).items() if k not in MEASURED}
            if path.suffix == ".json"
            else path.read_bytes()
        )
    return found


def test_records_are_those_of_one_process_though_a_worker_is_killed(
    folder, tmp_path_factory, tmp_path
):
    here, there = tmp_path / "here", tmp_path / "there"
    run_outcomes(tasks(here), str(folder), jobs=1)
    cluster = Started(tmp_path_factory.mktemp("dask"))
    try:
        victim = cluster.add_worker()
        cluster.add_worker()
        with use_engine("dask", cluster.address):
            # the first to begin is killed there, the others wait for that
            told = []

            def report(outcome, done, of):
                told.append((outcome.read, done, of))
                if done == 1:
                    victim.kill()

            first = run_outcomes(tasks(there), str(folder), jobs=8, report=report)
            again = run_outcomes(tasks(there), str(folder), jobs=8)
    finally:
        cluster.stop()
    assert [one.read for one in first] == [False] * 3 and [one.read for one in again] == [True] * 3
    assert told == [(False, 1, 3), (False, 2, 3), (False, 3, 3)]
    assert contents(here) == contents(there) and len(contents(here)) == 9
    assert not list(cluster.folder.rglob("cache-*/runs/**/*.safetensors")), "left on a worker"


def test_a_call_whose_worker_is_killed_is_made_again(tmp_path_factory, tmp_path):
    def die_once(n):
        with (tmp_path / str(n)).open("a") as file:
            file.write("x")
        if n == 0 and (tmp_path / "0").read_text() == "x":
            os.kill(os.getpid(), signal.SIGKILL)
        return n * n

    cluster = Started(tmp_path_factory.mktemp("dask"))
    try:
        cluster.add_worker()
        cluster.add_worker()
        with use_engine("dask", cluster.address):
            assert list(in_processes(die_once, range(4), 4)) == [0, 1, 4, 9]
    finally:
        cluster.stop()
    assert (tmp_path / "0").read_text() == "xx"


def test_other_data_on_a_worker_is_one_line(dask, folder, tmp_path, monkeypatch):
    from avbook.experiments import runner

    sent = runner._for_cluster

    def of_other_data(task, where):
        outcome, found = sent(task, where)
        return outcome, {**found, "sent": {**found["sent"], "hash": "0123"}}

    monkeypatch.setattr(runner, "_for_cluster", of_other_data)
    with use_engine("dask", dask.address), pytest.raises(AvbookError) as caught:
        run_outcomes(tasks(tmp_path), str(folder), jobs=2)
    assert "differs from the caller's data" in str(caught.value) and "expected 0123" in str(
        caught.value
    )
    assert not list(tmp_path.rglob("*.json"))


def test_who_reads_no_further_cancels_what_is_not_begun(dask, tmp_path):
    def slow(n):
        (tmp_path / str(n)).touch()
        time.sleep(0.2)

    with use_engine("dask", dask.address):
        with closing(in_processes(slow, range(100), 100, ordered=False)) as results:
            next(results)
        time.sleep(1)
        begun = len(list(tmp_path.iterdir()))
        assert list(in_processes(lambda n: n, range(3), 3)) == [0, 1, 2]  # they work on
        assert len(list(tmp_path.iterdir())) == begun < 50


def test_a_worker_with_threads_is_one_line(tmp_path_factory):
    cluster = Started(tmp_path_factory.mktemp("dask"))
    try:
        cluster.add_worker(threads=2)
        with use_engine("dask", cluster.address), pytest.raises(AvbookError, match="--nthreads 1"):
            list(in_processes(lambda n: n, range(2), 2))
    finally:
        cluster.stop()


@pytest.mark.parametrize(
    "engine, address, said",
    [
        ("slurm", None, r"^engine='slurm': expected 'local', 'dask' or 'ray'"),
        ("local", "tcp://x:1", r"^--address tcp://x:1: expected with --engine dask or ray"),
        ("dask", None, r"^--engine dask: expected --address"),
        ("dask", "nonsense", r"^--address nonsense: no dask scheduler answers there"),
        ("dask", "tcp://127.0.0.1:9", r"^--address tcp://127.0.0.1:9: no dask scheduler answers"),
        ("dask", "tcp://:99999", r"^--address tcp://:99999: no dask scheduler answers there"),
    ],
)
def test_an_engine_that_is_not_there_is_one_line(engine, address, said, monkeypatch):
    from avbook.common import clusters

    monkeypatch.setattr(clusters, "TIMEOUT", 1)
    with pytest.raises(AvbookError, match=said) as caught:
        with use_engine(engine, address):
            pytest.fail("taken for there")
    assert "\n" not in str(caught.value)


def test_two_workers_in_one_process_take_turns():
    from distributed import LocalCluster

    def overlap(number):
        import sys
        import time

        running = sys.__dict__.setdefault("calls_of_this_test", [])
        running.append(number)
        time.sleep(0.1)
        at_once = len(running)
        running.remove(number)
        return at_once

    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False}
    with LocalCluster(**options, dashboard_address=None) as cluster:
        with use_engine("dask", cluster.scheduler_address):
            assert [*in_processes(overlap, range(6), 6)] == [1] * 6


def test_an_engine_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(AvbookError, match=r"pip install 'avbook\[ray\]'"):
        with use_engine("ray"):
            pytest.fail("taken for there")


@pytest.mark.soak
def test_a_world_and_features_are_those_of_one_process(dask, tmp_path):
    pytest.importorskip("av")
    from avbook.features.folder import extract_folder
    from avbook.world.videos import write_world_videos

    for name in ("here", "there"):
        with use_engine(*(("dask", dask.address) if name == "there" else ("local",))):
            write_world_videos(tmp_path / name / "world", "ave", "tiny", progress=False)
            few = tmp_path / name / "few"
            few.mkdir()
            for path in sorted((tmp_path / name / "world/videos").iterdir())[:4]:
                (few / path.name).write_bytes(path.read_bytes())
            options = {"visual": "world", "audio": "world", "progress": False}
            extract_folder(few, tmp_path / name / "features", "ave", **options)
    here, there = (
        {path.relative_to(tmp_path / name): path for path in (tmp_path / name).rglob("*.*")}
        for name in ("here", "there")
    )
    assert here.keys() == there.keys() and len(here) > 20
    for name, path in here.items():
        assert path.is_dir() or path.read_bytes() == there[name].read_bytes(), name
