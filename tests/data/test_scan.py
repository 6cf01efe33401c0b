"""The hash of a folder changes with every value that training reads, and is kept for the next
start."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest
from made_folders import write_ave, write_h5, write_llp

from avbook.data import scan as scanning
from avbook.data.ave import AVE
from avbook.data.events import AVE_CATEGORIES
from avbook.data.llp import LLP
from avbook.data.packs import check_folder, pack_folder
from avbook.data.scan import SCAN_FILE, scan_rows
from avbook.data.stores import open_npy

OLD = 10**9  # seconds: files of another time, so that a scan of them is kept


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AVBOOK_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def settled(monkeypatch):
    """Scans are kept though the files were written just now."""
    monkeypatch.setattr(scanning, "SETTLED", -(10**12))


@pytest.fixture
def counted(monkeypatch):
    """The arrays that were read through, in order."""
    seen = []
    scan = scanning.scan_rows
    monkeypatch.setattr(
        scanning,
        "scan_rows",
        lambda rows, *more: (seen.append(rows.path.name), scan(rows, *more))[1],
    )
    return seen


def change(path, at, value, name="avadataset"):
    with h5py.File(path, "r+") as file:
        file[name][at] = value


def text_change(path, old, new):
    path.write_text(path.read_text().replace(old, new))


AVE_CHANGES = {
    "one value of one clip's sound": lambda f: change(f / "audio_feature.h5", (7, 3, 2), 0.25),
    "one value of one clip's picture": lambda f: change(
        f / "visual_feature.h5", (23, 9, 2, 2, 5), 0.25
    ),
    "a background clip": lambda f: change(f / "visual_feature_noisy.h5", (4, 9, 2, 2, 5), 0.25),
    "a background label": lambda f: change(f / "labels_noisy.h5", 2, np.eye(29)[3]),
    "a label": lambda f: (
        (f / "Annotations.txt").unlink(),
        (f / "mil_labels.h5").unlink(),
        (f / "prob_label.h5").unlink(),
        change(f / "labels.h5", (5, 3), np.eye(29)[28]),
        change(f / "labels.h5", (5, 4), np.eye(29)[28]),
        change(f / "labels.h5", (5, 5), np.eye(29)[5]),
    ),
    "the order of a split": lambda f: (
        write_h5(f / "val_order.h5", AVE(f).val.rows[::-1], "order"),
    ),
    "two clips exchanged": lambda f: change(
        f / "audio_feature.h5", slice(0, 2), AVE(f).stores["audio"].read([1, 0]).numpy()
    ),
    "the name of a class": lambda f: (
        text_change(f / "Annotations.txt", AVE_CATEGORIES[0], "Gong"),
        (f / "categories.txt").write_text("\n".join(["Gong", *AVE_CATEGORIES[1:]]) + "\n"),
    ),
}


@pytest.mark.parametrize("what", AVE_CHANGES)
def test_the_hash_of_ave_changes_with(what, tmp_path):
    folder = write_ave(tmp_path / "ave")[0]
    before = AVE(folder).hash
    AVE_CHANGES[what](folder)
    assert AVE(folder).hash != before


LLP_CHANGES = {
    "one value": lambda f, name: np.save(
        f / "res152" / f"{name[:11]}.npy", np.full((80, 12), 0.5, np.float32)
    ),
    "a label of a training clip": lambda f, name: text_change(
        f / "AVVP_train.csv", name + "\t", f"{name}\tMotorcycle,"
    ),
    "a clip's name": lambda f, name: text_change(f / "AVVP_train.csv", name, name[:11] + "_31_41"),
    "a span": lambda f, name: (f / "AVVP_eval_audio.csv").write_text(
        "\n".join((f / "AVVP_eval_audio.csv").read_text().splitlines()[:-1]) + "\n"
    ),
}


@pytest.mark.parametrize("what", LLP_CHANGES)
def test_the_hash_of_llp_changes_with(what, tmp_path):
    folder, names, _ = write_llp(tmp_path / "llp")
    before = LLP(folder).hash
    LLP_CHANGES[what](folder, names["train"][3])
    assert LLP(folder).hash != before


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_copy_and_a_pack_have_the_same_hash(tmp_path, dtype):
    folder = write_ave(tmp_path / "ave", dtype=dtype)[0]
    whole = AVE(folder).hash
    assert AVE(shutil.copytree(folder, tmp_path / "another name")).hash == whole
    assert AVE(pack_folder(folder, tmp_path / "pack", progress=False)).hash == whole
    llp = write_llp(tmp_path / "llp", dtype=dtype)[0]
    assert LLP(pack_folder(llp, tmp_path / "pack2", progress=False)).hash == LLP(llp).hash


def test_values_beyond_float16_still_tell_rows_apart(tmp_path):
    folder = write_ave(tmp_path / "ave")[0]
    change(folder / "audio_feature.h5", (7, 3, 2), 1e6)
    before = AVE(folder).hash
    change(folder / "audio_feature.h5", (7, 3, 2), 2e6)
    assert AVE(folder).hash != before


def test_other_splits_and_labels_in_memory_give_another_hash(tmp_path):
    folder = write_ave(tmp_path / "ave")[0]
    whole = AVE(folder)
    before = whole.hash
    assert AVE(folder, drop_shared=True).hash != before == AVE(folder, weak=True).hash
    whole.train.arrays["labels"][0, 0] = np.roll(whole.train.arrays["labels"][0, 0], 1)
    assert whole.hash != before
    cut = AVE(folder)
    cut.train = cut.train.subset(range(5))
    assert cut.hash not in (before, whole.hash)


# ------------------------------------------------------------------------------------- what is kept
def test_the_second_start_reads_no_features(tmp_path, settled, counted):
    folder = write_ave(tmp_path / "ave")[0]
    first = AVE(folder).hash
    assert len(counted) == 4 and (folder / SCAN_FILE).is_file()
    counted.clear()
    assert AVE(folder, weak=True).hash == first and not counted
    os.utime(folder / "audio_feature.h5", (OLD, OLD))
    assert AVE(folder).hash == first and counted == ["audio_feature.h5"]


def test_a_change_of_the_same_size_under_the_old_time_is_seen(tmp_path, settled, counted):
    folder = write_ave(tmp_path / "ave")[0]
    path, before = folder / "audio_feature.h5", AVE(folder).hash
    found = path.stat()
    change(path, (7, 3, 2), 0.25)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert path.stat().st_size == found.st_size
    assert AVE(folder).hash != before


def test_files_written_just_now_are_looked_at_again(tmp_path, counted):
    folder = write_ave(tmp_path / "ave", noisy=0)[0]
    AVE(folder)
    assert not (folder / SCAN_FILE).exists()
    AVE(folder)
    assert len(counted) == 4


def test_one_clip_of_llp_that_changes_is_seen(tmp_path, settled, counted):
    folder, names, _ = write_llp(tmp_path / "llp")
    before = LLP(folder).hash
    counted.clear()
    assert LLP(folder).hash == before and not counted
    np.save(folder / "vggish" / f"{names['test'][0][:11]}.npy", np.ones((10, 8), np.float32))
    assert LLP(folder).hash != before and counted == ["vggish"]


def test_a_folder_that_cannot_be_written_to_is_remembered_in_the_cache(
    tmp_path, settled, counted, monkeypatch
):
    folder = write_ave(tmp_path / "ave", noisy=0)[0]
    write = scanning.write_text

    def read_only(path, text):
        if path.parent == folder:
            raise PermissionError(13, "read-only")
        write(path, text)

    monkeypatch.setattr(scanning, "write_text", read_only)
    first = AVE(folder).hash
    counted.clear()
    assert AVE(folder).hash == first and not counted
    assert not (folder / SCAN_FILE).exists()


@pytest.mark.parametrize("text", ["", "[]", '{"features": {"audio": 3}}', "\xff", '{"features": '])
def test_a_scan_that_is_none_is_made_again(tmp_path, settled, counted, text):
    folder = write_ave(tmp_path / "ave", noisy=0)[0]
    first = AVE(folder).hash
    (folder / SCAN_FILE).write_text(text, encoding="latin-1")
    counted.clear()
    assert AVE(folder).hash == first and len(counted) == 2
    assert json.loads((folder / SCAN_FILE).read_text())["features"].keys() == {"audio", "visual"}


def test_what_is_broken_is_not_remembered_as_such(tmp_path, settled):
    folder, names, _ = write_llp(tmp_path / "llp")
    path = folder / "vggish" / f"{names['train'][0][:11]}.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    assert any(issue.level == "error" for issue in check_folder(folder))
    path.write_bytes(whole)
    assert not any(issue.level == "error" for issue in check_folder(folder))


def test_a_check_looks_at_every_value_again(tmp_path, settled, counted):
    folder = write_ave(tmp_path / "ave", noisy=0)[0]
    AVE(folder)
    counted.clear()
    check_folder(folder)
    assert len(counted) == 2


# ------------------------------------------------------------------------------------ what is found
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_odd_rows_are_counted_and_named(tmp_path, dtype):
    array = np.random.default_rng(0).standard_normal((40, 3, 4)).astype(dtype)
    array[[2, 5, 6, 30]] = 0
    array[11] = 3
    array[20, 1, 2], array[21, 2, 3] = np.nan, -np.inf
    array[33] = array[12]
    np.save(tmp_path / "a.npy", array)
    found = scan_rows(open_npy(tmp_path / "a.npy"))
    assert (found.constant.count, found.constant.first) == (5, [2, 5, 6])
    assert (found.not_finite.count, found.not_finite.first) == (2, [20, 21])
    assert (found.repeated.count, found.repeated.first) == (1, [33])
    assert found.rows == 40 and found.distinct == 40 - 3 - 1


def test_blocks_do_not_change_the_digest(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((50, 3, 4), np.float32))
    rows = open_npy(tmp_path / "a.npy")
    whole = scan_rows(rows)
    monkeypatch.setattr("avbook.data.stores.BLOCK_BYTES", 7 * rows.row_bytes)
    assert scan_rows(rows) == whole
