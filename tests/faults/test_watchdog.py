"""What judges the fault tests can fail: a hang, a death, a traceback, a silent acceptance and a
difference are each told apart from what is right."""

import json
import multiprocessing
import os
import random
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from full_disk import Counter, fail_writes
from kills import compared
from made_folders import write_ave, write_h5
from mutated_arrays import H5, odd_tensor
from mutations import PLACES, json_text, mutate_folder, odd_json
from processes import PATIENCE
from safetensors.torch import save_file
from targets import UNFINISHED, accepted, wrong_in_data, wrong_in_net, wrong_in_results
from watchdog import ODD, RIGHT, WRONG, Outcome, note, outcomes, told, tried, worst

from avbook.errors import AvbookError


# ------------------------------------------------------------------------------------ the processes
def examined(case):
    note(f"case {case}")
    if case == "sleeps":
        while True:
            time.sleep(1)
    if case == "ends":
        os._exit(3)
    if case == "fails":
        raise KeyError("harness")
    if case == "asks for all memory":
        return tried(np.ones, 10**13)[0]
    return Outcome("accepted", str(os.getpid()))


def came_of(*cases, patience=PATIENCE):
    return dict(outcomes(cases, examined, processes=2, patience=patience))


def test_each_call_has_its_outcome_and_processes_are_used_again():
    found = came_of(*range(6))
    assert {outcome.kind for outcome in found.values()} == {"accepted"}
    assert found.keys() == set(range(6)) and len({o.said for o in found.values()}) <= 2


def test_a_hang_is_ended_and_told_with_what_was_done():
    found = came_of("sleeps", patience=0.5)["sleeps"]
    assert found.kind == "hang" and found.what == "case sleeps"


def test_a_process_that_dies_does_not_take_the_others_along():
    found = came_of("ends", "fails", 1, 2)
    assert [found[case].kind for case in ("ends", "fails", 1, 2)] == [
        *("died", "died"),
        *("accepted", "accepted"),
    ]
    assert "3" in found["ends"].said and "KeyError" in found["fails"].said


def watches(pipe):
    """Has two processes that hang, tells their numbers, and hangs with them."""

    def examine(case):
        pipe.send(os.getpid())
        while True:
            time.sleep(1)

    list(outcomes([1, 2], examine, processes=2, patience=PATIENCE))


def test_its_processes_end_with_it():
    """Killed itself, it leaves none behind; each of them holds the other's pipe."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    watcher = context.Process(target=watches, args=(theirs,))
    watcher.start()
    workers = [ours.recv(), ours.recv()]
    watcher.kill()
    watcher.join()
    end = time.monotonic() + PATIENCE
    while any(running(pid) for pid in workers):
        assert time.monotonic() < end, f"still there: {workers}"
        time.sleep(0.05)


def running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_more_memory_than_any_machine_has_is_an_exception():
    found = came_of("asks for all memory")
    assert found["asks for all memory"].said.startswith("MemoryError"), found


# ---------------------------------------------------------------------------------------- judging
def raises(error):
    raise error


@pytest.mark.parametrize(
    "error, kind",
    [
        (AvbookError("file: found 3; expected 4; mend it"), "refused"),
        (AvbookError("two\nlines"), "refused"),
        (AvbookError("x" * 5000), "long"),
        (KeyError("x"), "traceback"),
        (MemoryError(), "traceback"),
        (FileNotFoundError(2, "no such file"), "traceback"),
        (RecursionError(), "traceback"),
    ],
)
def test_what_a_call_raises(error, kind):
    assert tried(raises, error)[0].kind == kind


def test_a_traceback_is_placed_in_the_package():
    from avbook.data.stores import row_numbers

    found, _ = tried(row_numbers, [9], 3)
    assert found.said.startswith("IndexError (avbook/data/stores.py:")


TRACE = (
    "Traceback (most recent call last):\n  File \"/x/avbook/a.py\", line 7, in f\nKeyError: 'k'\n"
)


@pytest.mark.parametrize(
    "code, said, kind",
    [
        (0, "", "accepted"),
        (0, "a warning", "accepted"),
        (0, TRACE, "traceback"),
        (1, "avbook: file: no such file\n", "refused"),
        (1, "[1/2] psp-full\navbook: file: no such file\n", "refused"),
        (1, "avbook: unexpected: KeyError 'k'; run again with --traceback\n", "unexpected"),
        (1, "avbook: one\navbook: two\n", "untidy"),
        (1, "\nAborted.\n", "untidy"),
        (1, "avbook: " + "9" * 5000, "long"),
        (1, TRACE, "traceback"),
        (2, "Usage: avbook", "usage"),
        (-11, "", "died"),
        (130, "avbook: stopped", "died"),
    ],
)
def test_what_a_command_says(code, said, kind):
    found = told(code, said)
    assert found.kind == kind
    assert kind != "traceback" or found.said == "KeyError (avbook/a.py:7): 'k'"


def test_the_worst_is_told():
    assert worst(Outcome("accepted"), Outcome("refused")).kind == "refused"
    assert worst(Outcome("long"), Outcome("refused")).kind == "long"
    assert worst(Outcome("silent"), Outcome("traceback"), Outcome("long")).kind == "traceback"
    for one in (*RIGHT, *ODD):
        assert all(worst(Outcome(one), Outcome(kind)).kind == kind for kind in WRONG)


# -------------------------------------------------------------------------------- silent acceptance
def data_with(**changes):
    """A data set of AVE's kind with one field changed."""
    labels = torch.eye(3)[torch.arange(20).reshape(2, 10) % 3]  # (B, T, C+1)
    batch = {"audio": torch.zeros(2, 10, 4), "labels": labels, "video_labels": labels.mean(1)}
    split = SimpleNamespace(batch=lambda rows: {**batch, **changes})
    return SimpleNamespace(train=split, val=split, test=split)


@pytest.mark.parametrize(
    "changes, wrong",
    [
        ({}, ""),
        ({"audio": torch.full((2, 10, 4), float("nan"))}, "audio is not finite"),
        ({"labels": torch.full((2, 10, 3), 7.0)}, "other values than 0 and 1"),
        ({"labels": torch.zeros(2, 10, 3)}, "do not sum to 1"),
        ({"labels": torch.full((2, 10, 3), float("inf"))}, "labels is not finite"),
        ({"video_labels": torch.tensor([[2.0, -1.0, 0.0]])}, "no shares"),
    ],
)
def test_data_that_may_not_be_handed_out(changes, wrong):
    found = accepted(Outcome("accepted"), data_with(**changes), wrong_in_data)
    assert found.kind == ("silent" if wrong else "accepted") and wrong in found.said


def test_data_that_is_refused_when_it_is_read_is_refused():
    split = SimpleNamespace(batch=lambda rows: raises(AvbookError("row 3: NaN")))
    data = SimpleNamespace(train=split)
    assert accepted(Outcome("accepted"), data, wrong_in_data).kind == "refused"


def test_weights_and_results_that_are_not_finite(tmp_path):
    net = torch.nn.Linear(2, 2)
    assert wrong_in_net(net) == ""
    torch.nn.init.constant_(net.weight, float("nan"))
    assert "weight is not finite" in wrong_in_net(net)
    run = tmp_path / "psp-full" / "key"
    run.mkdir(parents=True)
    (run / "seed-0.json").write_text('{"metrics": 1.0}')
    told = np.array(json.dumps({"recipe": "psp-full"}))
    np.savez(run / "seed-0.npz", run=told, last=np.zeros(3, np.uint8))
    save_file({"w": torch.ones(3)}, run / "seed-0.safetensors")
    assert wrong_in_results(tmp_path) == ""
    for name, spoil in (
        ("seed-0.json", lambda path: path.write_text('{"metrics": NaN}')),
        ("seed-0.npz", lambda path: path.write_bytes(path.read_bytes()[:50])),
        ("seed-0.safetensors", lambda path: save_file({"w": torch.tensor([float("nan")])}, path)),
    ):
        kept = (run / name).read_bytes()
        spoil(run / name)
        assert name in wrong_in_results(tmp_path)
        (run / name).write_bytes(kept)


@pytest.mark.parametrize(
    "name, left",
    [
        (".0a1b2c3d.seed-0.json", True),
        (".w.0a1b2c3d.partial", True),
        ("seed-0.json", False),
        (".stage.lock", False),
        (".avbook.json", False),
    ],
)
def test_names_that_only_half_written_files_have(name, left):
    assert bool(UNFINISHED.fullmatch(name)) == left


# ---------------------------------------------------------------------------------- the same or not
@pytest.fixture
def two(tmp_path):
    """Two folders of the same results, written at other times."""
    for name, seconds in (("one", 1.5), ("other", 2.5)):
        (tmp_path / name).mkdir()
        record = {"score": 3.0, "seconds": seconds, "finished": name, "out": str(tmp_path / name)}
        (tmp_path / name / "seed-0.json").write_text(json.dumps(record))
        np.savez(tmp_path / name / "seed-0.npz", last=np.arange(3))
        meta = {"avbook": json.dumps({"epoch": 2, "history": [{"seconds": seconds}]})}
        save_file({"w": torch.ones(3)}, tmp_path / name / "seed-0.safetensors", meta)
        (tmp_path / name / ".stage.lock").write_text(name)
    return tmp_path / "one", tmp_path / "other"


def test_times_are_no_difference(two):
    assert compared(*two).kind == "accepted"


@pytest.mark.parametrize(
    "change, kind",
    [
        (lambda folder: (folder / "seed-0.json").write_text('{"score": 3.1}'), "different"),
        (lambda folder: np.savez(folder / "seed-0.npz", last=np.arange(3) + 1), "different"),
        (lambda folder: np.savez(folder / "seed-0.npz", last=np.arange(3.0)), "different"),
        (
            lambda folder: save_file({"w": torch.zeros(3)}, folder / "seed-0.safetensors"),
            "different",
        ),
        (lambda folder: (folder / "seed-0.npz").unlink(), "different"),
        (lambda folder: (folder / ".0a1b2c3d.seed-0.npz").touch(), "leftover"),
    ],
)
def test_a_difference_is_found(two, change, kind):
    change(two[1])
    assert compared(*two).kind == kind


# ---------------------------------------------------------------------------------------- mutations
def test_the_same_chance_spoils_the_same_file_in_the_same_way(tmp_path):
    said = []
    for name in ("one", "two"):
        folder, _, _ = write_ave(tmp_path / name, n=4)
        rngs = [random.Random(number) for number in range(12)]
        said.append([mutate_folder(folder, ["*.h5", "*.txt"], rng) for rng in rngs])
    assert said[0] == said[1] and len(set(said[0])) > 9


@pytest.mark.parametrize("kind", H5)
def test_every_kind_of_dataset_can_be_made(tmp_path, kind):
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        H5[kind](file, "avadataset", np.zeros((4, 10, 8), np.float32))
    assert (tmp_path / "a.h5").stat().st_size < 10**6


@pytest.mark.parametrize("kind", PLACES)
def test_every_kind_of_place_can_be_made(tmp_path, kind):
    path = tmp_path / "labels.h5"
    PLACES[kind](path, b"kept")
    assert kind == "nothing" or os.path.lexists(path)


def test_json_is_spoilt_in_one_place_and_holds_words_of_no_value():
    value = {"a": [1, 2.5, {"b": "c"}], "d": None}
    texts = {json_text(odd_json(value, random.Random(n))[0]) for n in range(400)}
    assert len(texts) > 100 and any("NaN" in text for text in texts)
    assert value == {"a": [1, 2.5, {"b": "c"}], "d": None}


def test_tensors_are_spoilt_in_several_ways():
    said = {odd_tensor(torch.ones(3, 2), random.Random(n))[1] for n in range(60)}
    assert {"nan", "type", "fewer", "none"} <= said


# ---------------------------------------------------------------------------------------- full disk
def full_after(case):
    folder, last = case
    fail_writes(folder, Counter(), last)
    return tried(write_h5_and_text, folder)[0]


def write_h5_and_text(folder):
    (folder / "new").mkdir()
    (folder / "new" / "a.txt").write_text("a")
    np.savez(folder / "new" / "b.npz", a=np.zeros(3))


def test_a_write_fails_where_it_is_asked_to(tmp_path):
    said = []
    for last in (1, 2, 3, 4, 10**6):
        folder = tmp_path / str(last)
        folder.mkdir()
        ((_, outcome),) = outcomes([(folder, last)], full_after, processes=1, patience=PATIENCE)
        there = sorted(path.name for path in folder.rglob("*"))
        said.append((outcome.kind, there))
        assert outcome.kind == "accepted" or "No space left" in outcome.said
    assert said == [
        ("traceback", []),
        ("traceback", ["new"]),
        ("traceback", ["a.txt", "new"]),
        ("traceback", ["a.txt", "new"]),
        ("accepted", ["a.txt", "b.npz", "new"]),
    ]


def test_the_package_is_not_spoilt_by_what_forks_did(tmp_path):
    (tmp_path / "a").write_text("a")
    write_h5(tmp_path / "b.h5", np.zeros(3))
    assert (tmp_path / "a").read_text() == "a"
