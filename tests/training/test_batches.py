"""Batches read ahead: the same ones, in order, and what reading raises comes in its turn."""

import threading

import pytest
import torch
from made_folders import write_ave
from processes import PATIENCE

from avbook.data.ave import AVE
from avbook.training import batches as module
from avbook.training.batches import batches_of, read_ahead

CPU = torch.device("cpu")


def test_the_next_one_is_got_while_the_caller_works():
    asked = [threading.Event() for _ in range(3)]

    def items():
        for number, event in enumerate(asked):
            event.set()
            yield number

    found = read_ahead(items())
    assert next(found) == 0 and asked[1].wait(PATIENCE)
    assert list(found) == [1, 2]
    assert list(read_ahead([])) == []


def test_what_getting_one_raises_comes_in_its_turn():
    def items():
        yield "whole"
        raise OSError("the disk")

    found = read_ahead(items())
    assert next(found) == "whole"
    with pytest.raises(OSError, match="the disk"):
        next(found)


def test_who_reads_no_further_leaves_no_thread():
    before = threading.active_count()
    found = read_ahead(range(10))
    assert next(found) == 0
    found.close()
    assert threading.active_count() == before


def test_from_a_disk_batches_are_read_ahead_and_are_the_same(tmp_path, monkeypatch):
    folder = write_ave(tmp_path / "ave", n=24, noisy=0)[0]
    disk, held = AVE(folder, cache_mb=0).train, AVE(folder).train
    rows, called = [[1, 2, 3], [4, 0], [9, 9, 8]], []

    def note(items):
        called.append(items)
        return read_ahead(items)

    monkeypatch.setattr(module, "read_ahead", note)
    left, right = (list(batches_of(split, rows, CPU)) for split in (disk, held))
    assert len(called) == 1 and len(left) == len(right) == 3
    for a, b in zip(left, right):
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
