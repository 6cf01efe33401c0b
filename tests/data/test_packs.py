"""Packs: the same values, the same hash, made again from where they stopped, and nothing that looks
whole before it is."""

import errno
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_folders import write_ave, write_h5

from avbook.data import packs, stores as arrays
from avbook.data.ave import AVE
from avbook.data.cache import CachedStore
from avbook.data.packs import check_folder, pack_folder, task_of
from avbook.data.stores import RawStore, open_npy
from avbook.errors import AvbookError


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(
        packs, "BLOCK_BYTES", 2048
    )  # a row of the visual features is 1,080 bytes: one clip a block


@pytest.fixture
def made(tmp_path):
    return write_ave(tmp_path / "ave")[0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("cache_mb", [0, 600])
def test_a_pack_holds_the_nearest_float16_and_has_the_same_hash(
    tmp_path, small_blocks, dtype, cache_mb
):
    folder, audio, visual = write_ave(tmp_path / "ave", dtype=dtype)
    pack = AVE(pack_folder(folder, tmp_path / "pack", progress=False), cache_mb=cache_mb)
    ave = AVE(folder)
    assert (pack.hash, pack.name, pack.kind) == (ave.hash, ave.name, ave.kind)
    assert isinstance(pack.stores["visual"], CachedStore if cache_mb else RawStore)
    assert np.array_equal(
        pack.train[:]["visual"],
        visual[pack.train.rows].astype(np.float32).astype(np.float16).astype(np.float32),
    )
    assert np.array_equal(
        np.load(tmp_path / "pack" / "audio.npy", mmap_mode="r"),
        audio.astype(np.float32).astype(np.float16),
    )
    assert not check_folder(tmp_path / "pack") and not list(tmp_path.glob("*.partial"))


def test_packing_again_changes_nothing_and_other_files_are_not_overwritten(made, tmp_path):
    out = pack_folder(made, tmp_path / "pack", progress=False)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert pack_folder(made, out, progress=False) == out
    assert before == {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    other, _, _ = write_ave(tmp_path / "other", seed=1)
    with pytest.raises(AvbookError, match="a pack of other files"):
        pack_folder(other, out, progress=False)
    with pytest.raises(AvbookError, match="is not a pack"):
        pack_folder(made, other, progress=False)
    with pytest.raises(AvbookError, match="is a pack already"):
        pack_folder(out, tmp_path / "twice", progress=False)
    assert not check_folder(out)


class Interrupted(BaseException):
    """As Ctrl-C: not an Exception."""


@pytest.mark.parametrize("stop_after", [0, 2, 7, 30])
@pytest.mark.parametrize("kind", ["interrupt", "disk"])
def test_an_interrupted_pack_goes_on_where_it_stopped(
    made, tmp_path, small_blocks, monkeypatch, stop_after, kind
):
    whole = pack_folder(made, tmp_path / "whole", progress=False)
    write, calls = packs._write, []

    def failing(file, data):
        calls.append(len(data))
        if len(calls) > stop_after:
            file.write(bytes(data)[: len(data) // 2])  # half a block reaches the disk
            raise (
                Interrupted
                if kind == "interrupt"
                else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            )
        write(file, data)

    monkeypatch.setattr(packs, "_write", failing)
    with pytest.raises(
        Interrupted if kind == "interrupt" else AvbookError,
        match=None if kind == "interrupt" else "no space left",
    ) as caught:
        pack_folder(made, tmp_path / "pack", progress=False)
    assert kind == "interrupt" or "\n" not in str(caught.value)
    assert (
        not (tmp_path / "pack").exists() and not (tmp_path / "pack.partial" / "pack.json").exists()
    )
    with pytest.raises(AvbookError, match="an unfinished pack"):
        AVE(tmp_path / "pack.partial")
    written = []
    monkeypatch.setattr(
        packs, "_write", lambda file, data: (written.append(len(data)), write(file, data))
    )
    out = pack_folder(made, tmp_path / "pack", progress=False)
    total = sum(
        1 + len(entry["crc32"])
        for entry in json.loads((out / "pack.json").read_text())["arrays"].values()
    )
    assert len(written) == total - stop_after  # each header and block once, over both runs
    for path in whole.iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()
    assert {path.name for path in out.iterdir()} == {
        path.name for path in whole.iterdir()
    } and not check_folder(out)


def test_a_block_that_rotted_in_between_is_written_again(made, tmp_path, small_blocks, monkeypatch):
    write, calls = packs._write, []

    def failing(file, data):
        calls.append(1)
        if len(calls) > 20:
            raise Interrupted
        write(file, data)

    monkeypatch.setattr(packs, "_write", failing)
    with pytest.raises(Interrupted):
        pack_folder(made, tmp_path / "pack", progress=False)
    monkeypatch.setattr(packs, "_write", write)
    with open(tmp_path / "pack.partial" / "visual.npy", "r+b") as file:
        file.seek(5000)
        file.write(b"\x55\x55\x55")
    with open(tmp_path / "pack.partial" / "progress.jsonl", "a") as file:
        file.write('{"array": "visu')  # and the log's last line was cut
    assert not check_folder(pack_folder(made, tmp_path / "pack", progress=False))


def test_a_change_in_the_source_starts_the_pack_anew(made, tmp_path, small_blocks, monkeypatch):
    monkeypatch.setattr(packs, "_finish", lambda *args: (_ for _ in ()).throw(Interrupted))
    with pytest.raises(Interrupted):
        pack_folder(made, tmp_path / "pack", progress=False)
    monkeypatch.undo()
    audio = np.arange(24 * 10 * 8, dtype=np.float32).reshape(24, 10, 8)
    write_h5(made / "audio_feature.h5", audio)
    pack = pack_folder(made, tmp_path / "pack", progress=False)
    train = AVE(pack).train
    assert np.array_equal(train[:]["audio"], audio[train.rows]) and not check_folder(pack)


def test_labels_go_along_whatever_their_size(made, tmp_path, monkeypatch):
    (made / "notes.txt").write_text("much")
    monkeypatch.setattr(packs, "SMALL", 0)  # as 64 MB are for a hundred thousand clips
    packed = pack_folder(made, tmp_path / "pack", progress=False)
    assert not (packed / "notes.txt").exists()
    assert AVE(packed).hash == AVE(made).hash


def test_a_disk_too_small_is_known_before_anything_is_written(made, tmp_path, monkeypatch):
    monkeypatch.setattr(packs.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(
        AvbookError, match="no space left on the disk; 0 MB are needed in total; free some"
    ):
        pack_folder(made, tmp_path / "pack", progress=False)
    assert not list((tmp_path / "pack.partial").glob("*.npy"))


def test_one_pack_is_not_written_twice_at_once(made, tmp_path, monkeypatch):
    write, said = packs._write, []

    def write_while_another_tries(file, data):
        if not said:
            said.append("")
            with pytest.raises(AvbookError) as caught:
                pack_folder(made, tmp_path / "pack", progress=False)
            said[0] = str(caught.value)
        write(file, data)

    monkeypatch.setattr(packs, "_write", write_while_another_tries)
    pack = pack_folder(made, tmp_path / "pack", progress=False)
    assert said == [f"{pack}: another process is writing this pack; wait for it, or stop it"]
    assert not check_folder(pack) and {p.name for p in tmp_path.iterdir()} == {"ave", "pack"}


@pytest.mark.parametrize(
    "value, text",
    [(70000, "float16 ends at 65,504"), (np.nan, "NaN or infinity"), (-np.inf, "NaN or infinity")],
)
def test_values_that_float16_has_not(made, tmp_path, value, text):
    visual = np.random.default_rng(0).random((24, 10, 3, 3, 6))
    visual[17, 3, 1, 1, 0] = value
    write_h5(made / "visual_feature.h5", visual)
    with pytest.raises(AvbookError, match="visual_feature.h5: row 17.*" + text) as caught:
        pack_folder(made, tmp_path / "pack", progress=False)
    assert "\n" not in str(caught.value) and not (tmp_path / "pack").exists()


def test_task_of(made, tmp_path):
    assert task_of(made) == "ave"
    with pytest.raises(AvbookError, match="neither AVE's files"):
        task_of(tmp_path)
    assert [finding.level for finding in check_folder(tmp_path)] == ["error"]


def test_each_row_is_read_once_and_neighbours_together(tmp_path, monkeypatch):
    array = np.arange(40, dtype=np.float16).reshape(20, 2)
    np.save(tmp_path / "a.npy", array)
    rows, runs, run = open_npy(tmp_path / "a.npy"), [], RawStore._run
    monkeypatch.setattr(
        RawStore,
        "_run",
        lambda self, source, start, stop: (
            runs.append((start, stop)),
            run(self, source, start, stop),
        )[1],
    )
    assert np.array_equal(rows.read([7, 3, 3, 2, 19, 6]), array[[7, 3, 3, 2, 19, 6]])
    assert runs == [(2, 4), (6, 8), (19, 20)]


MEASURE = """
import os, sys, torch
from avbook.data.ave import AVE
def status(key):
    lines = [line for line in open('/proc/self/status') if line.startswith(key)]
    return int(lines[0].split()[1]) / 1e3
def read():
    return int(next(line.split()[1] for line in open('/proc/self/io') if line.startswith('rchar')))
torch.set_num_threads(1)
start = status('VmRSS')
ave = AVE(sys.argv[1], cache_mb=float(sys.argv[2]))
before, clips = read(), 0
for batch in ave.train.loader(64, shuffle=True, seed=0):
    clips += len(batch['labels'])
print(start, status('VmHWM'), read() - before, clips)
"""


def measure(folder, cache_mb=600):
    """Megabytes before, megabytes at the peak, bytes read in an epoch of shuffled batches, clips:
    in a process of its own."""
    out = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder), str(cache_mb)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [float(value) for value in out.split()]


def sparse_h5(path, shape, dtype):
    """An h5 dataset laid out like the official files that takes little space on the disk: zeros,
    but for one value a row, in which rows differ."""
    import h5py

    with h5py.File(path, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        h5py.h5d.create(
            file.id,
            b"avadataset",
            h5py.h5t.py_create(np.dtype(dtype)),
            h5py.h5s.create_simple(shape),
            plan,
        )
        file["avadataset"][(slice(None), *[0] * (len(shape) - 1))] = np.arange(1, shape[0] + 1)


def sparse_folder(folder, n, dtype, visual=512):
    write_ave(folder, n=n, audio=128, side=1, visual=1, noisy=0, weak=False, labels=False)
    sparse_h5(folder / "visual_feature.h5", (n, 10, 7, 7, visual), dtype)
    return folder


linux = pytest.mark.skipif(
    not os.path.exists("/proc/self/io"), reason="memory and bytes read are taken from Linux's /proc"
)


@linux
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_epoch_reads_each_byte_once(tmp_path, dtype):
    """400 clips of the official size, 401 or 803 MB in the file, more than may be held."""
    _, _, read, clips = measure(sparse_folder(tmp_path / "ave", 400, dtype), cache_mb=100)
    row = 250_880 * np.dtype(dtype).itemsize
    assert clips == 200 and clips * row <= read < 1.05 * clips * row


@pytest.mark.soak
@linux
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_epoch_holds_one_batch(tmp_path, dtype):
    """A batch is 64 MB, a block 16."""
    start, peak, _, _ = measure(sparse_folder(tmp_path / "ave", 400, dtype), cache_mb=100)
    assert peak - start < 250, f"{peak - start:.0f} MB above the {start:.0f} of an empty process"


@pytest.mark.soak
@linux
@pytest.mark.parametrize("kind", ["float64", "float32", "pack"])
def test_the_full_size_stays_under_1500_mb(tmp_path, kind):
    folder = sparse_folder(tmp_path / "ave", 4143, "float64" if kind == "float64" else "float32")
    if kind == "pack":
        folder = pack_folder(folder, tmp_path / "pack", progress=False)
    start, peak, read, clips = measure(folder)
    row = 250_880 * {"float64": 8, "float32": 4, "pack": 2}[kind]
    print(
        f"{kind}: {start:.0f} MB before, {peak:.0f} MB peak, {read / 1e9:.2f} GB read for"
        f" {clips:.0f} clips"
    )
    assert peak < 1500 and clips * row <= read < 1.02 * clips * row


def test_block_size_is_what_the_memory_figure_rests_on():
    assert arrays.BLOCK_BYTES == 16 * 2**20
    assert torch.empty(64, 10, 7, 7, 512).nbytes < 65e6
