"""One run: read or trained, by what it is of, alone, and whole; many side by side: their order,
what is told of them, and what stops them."""

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from forked import run_forked
from made_folders import write_ave, write_llp
from processes import PATIENCE, ROOT
from tiny_runs import FULL, TINY, ask, start, without_cost

from avbook.errors import AvbookError
from avbook.experiments import job as stages, runner
from avbook.experiments.datasets import open_data
from avbook.experiments.recipes import find_recipe
from avbook.experiments.runner import run_many, run_one, run_outcomes, run_seed
from avbook.training.weights import read_tensors


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_ave(tmp_path_factory.mktemp("data") / "ave", n=24, noisy=0)[0]


@pytest.fixture(scope="module")
def data(folder):
    return open_data(folder)


def files(out) -> list[str]:
    return sorted(path.name for path in Path(out).rglob("*") if path.is_file())


WHOLE = ["seed-0.json", "seed-0.npz", "seed-0.safetensors"]


# ---------------------------------------------------------------------------------- read or trained
def test_a_record_that_stands_is_read_and_is_what_the_run_gave(data, tmp_path):
    first, again = ask(data, tmp_path), ask(data, tmp_path)
    assert (first.read, again.read) == (False, True)
    assert first.path == again.path and first.record == again.record
    assert json.loads(first.path.read_text()) == first.record
    assert files(tmp_path) == WHOLE
    assert not ask(data, tmp_path, seed=1).read and not ask(data, tmp_path, tau=0.2).read
    same = run_seed(FULL, data, seed=0, preset="quick", options=TINY, out=tmp_path, progress=False)
    assert same == first.record


def test_a_copied_folder_is_the_same_data(folder, data, tmp_path):
    first = ask(data, tmp_path / "runs")
    shutil.copytree(folder, tmp_path / "my data [0]")
    copy = open_data(str(tmp_path / "my data [0]"))
    assert copy.name != data.name and copy.hash == data.hash
    again = ask(copy, tmp_path / "runs")
    assert again.read and again.path == first.path
    more = ask(copy, tmp_path / "runs", seed=1)
    assert more.path == first.path.with_name("seed-1.json"), "beside the first, not elsewhere"


def test_a_copied_folder_continues_a_run(folder, data, tmp_path, monkeypatch):
    whole = ask(data, tmp_path / "whole")
    cut_off(monkeypatch, lambda: ask(data, tmp_path / "cut"))
    shutil.copytree(folder, tmp_path / "copy")
    begun = [path.parent.parent for path in (tmp_path / "cut").rglob("state.safetensors")]
    parts = ask(open_data(str(tmp_path / "copy")), tmp_path / "cut")
    assert [parts.path.parent] == begun
    record, other = without_cost(parts.record), without_cost(whole.record)
    assert record.pop("data")["name"] == "copy" and other.pop("data")["name"] == "ave"
    assert record == other


def test_presets_of_equal_settings_do_not_share_a_folder(tmp_path):
    llp = open_data(str(write_llp(tmp_path / "llp")[0]), "llp")
    paths = []
    for preset in ("quick", "paper", "quick", "paper"):
        found = run_one(find_recipe("rule"), llp, seed=0, preset=preset, out=tmp_path / "runs")
        assert found.record["preset"] == preset
        paths.append(found.path)
    assert paths[:2] == paths[2:] and paths[0] != paths[1]


@pytest.mark.parametrize(
    "change, said",
    [
        ({"seed": 5}, "another setting .seed 5, expected 0"),
        ({"options": {}}, "another setting .options"),
        ({"preset": "paper"}, "another setting .preset paper"),
        ({"recipe": "avel-full"}, "another setting .recipe avel-full"),
        ({"data": {"kind": "folder", "name": "ave", "hash": "0"}}, "other data .hash 0"),
    ],
)
def test_a_record_of_something_else_is_not_returned(data, tmp_path, change, said):
    found = ask(data, tmp_path)
    found.path.write_text(json.dumps(found.record | change))
    with pytest.raises(AvbookError, match=f"a record of {said}") as error:
        ask(data, tmp_path)
    text = str(error.value)
    assert text.startswith(str(found.path)) and "another --out" in text and "\n" not in text


def test_a_folder_that_has_changed_between_two_calls_is_read_anew(tmp_path):
    """In one process: a data set that it holds open must not stand for what is there now."""
    folder = write_ave(tmp_path / "ave", n=24, noisy=0)[0]
    tasks = [
        {
            "recipe": "psp-full",
            "preset": "quick",
            "options": TINY,
            "seed": 0,
            "out": str(tmp_path / "runs"),
            "progress": False,
        }
    ]
    assert [one.read for one in run_outcomes(tasks, str(folder))] == [False]
    assert [one.read for one in run_outcomes(tasks, str(folder))] == [True]
    with h5py.File(folder / "audio_feature.h5", "r+") as file:
        file["avadataset"][:] = file["avadataset"][:] + 1
    assert [one.read for one in run_outcomes(tasks, str(folder))] == [False]


# ------------------------------------------------------------------------------- alone, and whole
def cut_off(monkeypatch, call, writes="seed-0.json") -> None:
    """The call, interrupted where it writes the record."""
    write = runner.write_text

    def stop(path, text):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "write_text", stop)
    with pytest.raises(KeyboardInterrupt):
        call()
    monkeypatch.setattr(runner, "write_text", write)


def test_the_record_is_written_last_and_a_run_cut_off_before_it_continues(
    data, tmp_path, monkeypatch
):
    whole = ask(data, tmp_path / "whole")
    cut_off(monkeypatch, lambda: ask(data, tmp_path / "cut"))
    left = files(tmp_path / "cut")
    assert WHOLE[1:] == [name for name in left if name.startswith("seed-0")]
    assert "state.safetensors" in left
    (at,) = {path.parent for path in (tmp_path / "cut").rglob("seed-0.npz")}
    for name in ("seed-0.json", "seed-0.npz", "seed-0.safetensors"):
        (at / f".0123abcd.{name}").touch()  # as kills leave them
    (at / ".0123abcd.seed-1.json").touch()  # another run may be writing this
    parts = ask(data, tmp_path / "cut")
    assert not parts.read and without_cost(parts.record) == without_cost(whole.record)
    assert files(tmp_path / "cut") == [".0123abcd.seed-1.json", *WHOLE]
    npz, weights = (
        [one.path.with_name(name) for one in (parts, whole)] for name in ("seed-0.npz", WHOLE[2])
    )
    assert npz[0].read_bytes() == npz[1].read_bytes()
    (tensors, told), (theirs, said) = map(read_tensors, weights)
    assert told == said and all(torch.equal(tensors[name], theirs[name]) for name in theirs)


def test_what_a_kill_after_the_record_left_goes_when_it_is_read(data, tmp_path):
    path = ask(data, tmp_path).path
    (path.parent / "seed-0").mkdir()
    (path.parent / "seed-0" / "state.safetensors").touch()
    (path.parent / ".0123abcd.seed-0.npz").touch()
    assert ask(data, tmp_path).read and files(tmp_path) == WHOLE
    assert not (path.parent / "seed-0").exists()
    run = f".{path.parent.name[-8:]}-quick-seed-0.lock"
    (path.parent.parent / run).touch()
    assert ask(data, tmp_path).read and files(tmp_path) == WHOLE


def test_of_five_starts_one_trains_and_the_others_wait_and_read(folder, tmp_path):
    with ThreadPoolExecutor(5) as pool:
        started = [
            pool.submit(run_forked, start, str(folder), str(tmp_path / "runs")) for _ in range(5)
        ]
    ended = [one.result() for one in started]
    assert [code for code, _, _ in ended] == [0] * 5, ended
    found = [json.loads(out) for _, out, _ in ended]
    assert sorted(read for read, _ in found) == [False, True, True, True, True]
    assert all(record == found[0][1] for _, record in found)
    assert files(tmp_path / "runs") == WHOLE


def test_without_locks_a_run_is_made_all_the_same(data, tmp_path, monkeypatch):
    def none(path, **how):
        raise AvbookError("its filesystem has no locks")

    monkeypatch.setattr(stages, "lock", none)
    assert not ask(data, tmp_path).read and files(tmp_path) == WHOLE


def test_a_folder_that_cannot_be_written_is_told_before_training(data, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_train", lambda *_: pytest.fail("trained"))
    (tmp_path / "runs").touch()
    with pytest.raises(AvbookError, match="cannot be written") as error:
        ask(data, tmp_path / "runs")
    assert "\n" not in str(error.value)


# -------------------------------------------------------------------------------- what is written
def test_weights_and_predictions_say_what_they_are_of(data, tmp_path):
    found = ask(data, tmp_path)
    tensors, told = read_tensors(found.path.with_suffix(".safetensors"))
    record = found.record
    assert told["class"] == "PSP" and told["selection"] == "val_selected"
    assert told["epoch"] == record["epochs"]["val_selected"]
    assert told["test"] == record["metrics"]["test"]["val_selected"]
    assert told["val"] == record["metrics"]["val"]
    assert all(told[name] == record[name] for name in ("recipe", "settings", "data", "seed"))
    assert told["dims"] == {
        "categories": 28,
        "audio_dim": 8,
        "seconds": 10,
        "visual_dim": 6,
        "positions": 9,
    }
    net, _ = FULL.build(told["settings"], told["dims"])
    net.load_state_dict(tensors)
    with np.load(found.path.with_suffix(".npz"), allow_pickle=False) as arrays:
        said = json.loads(str(arrays["run"]))
    assert said == {"recipe": "psp-full", "seed": 0, "data": data.hash}


# ------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "0", None])
def test_a_seed_that_is_none_is_refused_before_anything_is_read(data, tmp_path, seed):
    with pytest.raises(AvbookError, match="seed"):
        ask(data, tmp_path, seed=seed)
    assert not list(tmp_path.iterdir())


def test_an_unknown_device_is_told_before_training(data, tmp_path):
    for recipe, options in ((FULL, TINY), (find_recipe("cluster"), {"features": "raw"})):
        with pytest.raises(AvbookError, match="device 'tpu': no such device"):
            run_one(
                recipe,
                data,
                seed=0,
                preset="quick",
                options=options,
                device="tpu",
                out=tmp_path,
            )


def test_versions_are_read_before_training(data, tmp_path, monkeypatch):
    from avbook.training import device

    def missing():
        raise AvbookError("accelerate is not installed")

    monkeypatch.setattr(device, "versions", missing)
    monkeypatch.setattr(runner, "_in_one_stage", lambda job: pytest.fail("trained"))
    with pytest.raises(AvbookError, match="accelerate is not installed"):
        ask(data, tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried\n to"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore"),
    ],
)
def test_out_of_memory_is_one_line(data, tmp_path, monkeypatch, error):
    def full(job):
        raise error

    monkeypatch.setattr(runner, "_in_one_stage", full)
    with pytest.raises(AvbookError, match="psp-full: out of memory .*batch_size") as caught:
        ask(data, tmp_path)
    assert "\n" not in str(caught.value)


def test_another_error_is_not_called_out_of_memory(data, tmp_path, monkeypatch):
    def broken(job):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(runner, "_in_one_stage", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        ask(data, tmp_path)


# ----------------------------------------------------------------------------------- side by side
# The stand-in for a run stands inside each test: it is sent whole to the workers, which could not
# import this module.


@pytest.mark.parametrize("jobs", [1, 2])
def test_records_come_in_the_order_of_the_tasks(monkeypatch, jobs):
    def numbered(numbered, where):
        number, task = numbered
        record = {"seed": task["seed"], "where": where, "quiet": not task.get("progress", 1)}
        return number, runner.Outcome(record, Path("there"), read=number == 1)

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
    told.clear()
    found = run_outcomes(tasks, "here", jobs=jobs, report=lambda *found: told.append(found))
    assert [outcome.record for outcome in found] == records
    assert [outcome.read for outcome in found] == [False, True, False]
    assert [(outcome in found, done, of) for outcome, done, of in told] == [
        (True, 1, 3),
        (True, 2, 3),
        (True, 3, 3),
    ]


def test_a_run_is_told_of_when_it_ends(monkeypatch, tmp_path):
    def numbered(numbered, where):
        end = time.monotonic() + PATIENCE
        while numbered[0] == 0 and not (tmp_path / "told of 1").exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        return numbered[0], runner.Outcome(numbered[1], Path("there"), read=False)

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
        return numbered[0], runner.Outcome(numbered[1], Path("there"), read=False)

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
    return numbered[0], runner.Outcome(numbered[1], here, False)

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
