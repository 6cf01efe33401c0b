"""Inputs that people meet: what the check says of them is what the loader does."""

import json
import os
import re
import shutil
import subprocess
import sys
import warnings

import h5py
import numpy as np
import pytest
from made_folders import write_ave, write_h5

from avbook.data.ave import AVE
from avbook.data.llp import LLP
from avbook.data.packs import check_folder, pack_folder
from avbook.errors import AvbookError


def judged(folder, load=None):
    """(level, file, message) of each finding, after the loader was seen to agree with them."""
    load = load or (LLP if (folder / "AVVP_train.csv").is_file() else AVE)
    found = [(issue.level, issue.file, issue.message) for issue in check_folder(folder)]
    errors = [(file, message) for level, file, message in found if level == "error"]
    assert all("\n" not in message for _, _, message in found)
    if errors:
        with pytest.raises(AvbookError, match=re.escape(errors[0][0])) as caught:
            load(folder)
        assert "\n" not in str(caught.value)
    else:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            load(folder)
        assert len(told) == sum(level == "warning" for level, _, _ in found)
    return found


def only_error(folder, file, words, load=None):
    """The one error, about the file, in those words."""
    errors = [found for found in judged(folder, load) if found[0] == "error"]
    assert len(errors) == 1 and errors[0][1] == file, errors
    assert re.search(words, errors[0][2]), errors
    return errors[0][2]


def warned(folder, file, words):
    """That the check has no error, and one warning, about the file, in those words."""
    found = [found for found in judged(folder) if found[0] != "note"]
    assert [(level, name) for level, name, _ in found] == [("warning", file)], found
    assert re.search(words, found[0][2]), found


def set_values(path, value, at=Ellipsis, name="avadataset"):
    with h5py.File(path, "r+") as file:
        file[name][at] = value


# ------------------------------------------------------------------------------ labels of all kinds
@pytest.mark.parametrize("value", [np.nan, 7.0, 0.0, -1.0, np.inf, 0.5])
def test_background_labels_that_are_none(ave, value):
    set_values(ave / "labels_noisy.h5", value)
    only_error(ave, "labels_noisy.h5", "row 0, 1, 2 and 2 more: not one-hot")


def test_background_clips_of_a_class_are_warned_of(ave):
    set_values(ave / "labels_noisy.h5", np.eye(29)[3], slice(1, 4))
    warned(ave, "labels_noisy.h5", "row 1, 2, 3: not background throughout")


@pytest.mark.parametrize("file", ["mil_labels.h5", "prob_label.h5"])
@pytest.mark.parametrize("value", [np.nan, 0.0, 7.0, np.inf])
def test_labels_of_whole_clips_that_are_none(ave, file, value):
    set_values(ave / file, value, 3)
    only_error(ave, file, "row 3: contradicts the segment labels")


@pytest.mark.parametrize(
    "array", [np.float32(1), np.zeros(29), np.zeros((24, 28)), np.zeros((0, 29))]
)
def test_labels_of_whole_clips_of_another_shape(ave, array):
    write_h5(ave / "mil_labels.h5", array)
    only_error(ave, "mil_labels.h5", r"expected \(24, 29\)")


@pytest.mark.parametrize("value", [np.nan, np.inf, 2.0, -1.0, 0.5])
def test_segment_labels_that_are_none(ave, value):
    set_values(ave / "labels.h5", value, (7, 3, 2))
    only_error(ave, "labels.h5", "row 7: not one-hot")


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.5, 1e300, -(2.0**70)])
def test_row_numbers_that_are_none(ave, value):
    order = np.arange(12, dtype=np.float64)
    order[3] = value
    write_h5(ave / "train_order.h5", order, "order")
    only_error(ave, "train_order.h5", "expected a list of whole row numbers")


# --------------------------------------------------------------------------- features without sense
@pytest.mark.parametrize("value", [0.0, 3.5])
def test_features_that_were_never_written(ave, value):
    set_values(ave / "visual_feature.h5", value)
    only_error(ave, "visual_feature.h5", "all 24 clips hold one value throughout")


def test_features_that_are_all_the_same(ave, llp):
    with h5py.File(ave / "audio_feature.h5", "r+") as file:
        file["avadataset"][...] = file["avadataset"][:1]
    only_error(ave, "audio_feature.h5", "all 24 clips hold the same values")
    first, *others = sorted((llp / "vggish").iterdir())
    for path in others:
        shutil.copy(first, path)
    only_error(llp, "vggish", "all 16 clips hold the same values")


def test_constant_and_repeated_clips_are_counted(ave):
    set_values(ave / "audio_feature.h5", 0.0, slice(2, 9))
    warned(ave, "audio_feature.h5", "row 2, row 3, row 4 and 4 more: one value throughout")
    with h5py.File(ave / "visual_feature.h5", "r+") as file:
        file["avadataset"][5:7] = file["avadataset"][4:5]
    notes = [message for level, file, message in judged(ave) if file == "visual_feature.h5"]
    assert notes == ["row 5, row 6: the same features as a clip before"]


def test_nan_in_background_features_is_an_error_for_both(ave):
    set_values(ave / "audio_feature_noisy.h5", np.nan, (2, 1, 1))
    only_error(ave, "audio_feature_noisy.h5", "row 2: NaN or infinity")


def test_values_are_judged_as_the_float32_that_is_read(ave):
    with h5py.File(ave / "audio_feature.h5", "r+") as file:
        values = file["avadataset"][...].astype(np.float64)
        del file["avadataset"]
        values[3] = 1e300
        file["avadataset"] = values
    only_error(ave, "audio_feature.h5", "row 3: NaN or infinity")


def test_values_too_small_for_float16_are_told_apart_and_not_packed(ave, tmp_path):
    with h5py.File(ave / "audio_feature.h5", "r+") as file:
        file["avadataset"][...] *= 1e-10
    before = AVE(ave).hash
    assert not [found for found in judged(ave) if found[0] != "note"]
    with pytest.raises(AvbookError, match="row 0 of 24 holds no value above 6.1e-05"):
        pack_folder(ave, tmp_path / "pack", progress=False)
    with h5py.File(ave / "audio_feature.h5", "r+") as file:
        file["avadataset"][7, 3, 2] *= 3
    assert AVE(ave).hash != before


def test_clips_of_another_type_are_named_not_rounded(llp):
    path = sorted((llp / "vggish").iterdir())[3]
    np.save(path, np.load(path).astype(np.float64))
    only_error(llp, f"vggish/{path.name}", "float64, but most clips are float32")


def test_a_clip_of_llp_that_changes_after_it_was_opened(llp):
    train = LLP(llp, cache_mb=0).train
    np.save(llp / "vggish" / f"{train.ids[0]}.npy", np.ones((10, 8), np.float32))
    with pytest.raises(AvbookError, match="replaced or modified since it was opened"):
        train.batch([0])


def test_files_of_both_layouts_are_both_checked(ave, llp):
    shutil.copy(ave / "Annotations.txt", llp / "Annotations.txt")
    assert not [found for found in judged(llp) if found[0] == "error"]
    shutil.copytree(ave, llp, dirs_exist_ok=True)
    (llp / "AVVP_test_pd.csv").unlink()
    only_error(llp, "AVVP_test_pd.csv", "no such file", LLP)


def test_a_description_of_the_other_task(ave):
    (ave / "world.json").write_text('{"task": "llp"}')
    errors = [issue for issue in check_folder(ave) if issue.level == "error"]
    assert errors
    with pytest.raises(AvbookError, match="world.json: says task 'llp'; expected 'ave'"):
        AVE(ave)


def test_the_shape_of_most_clips_is_the_right_one(llp):
    clips = [line.split("\t")[0] for line in (llp / "AVVP_train.csv").read_text().splitlines()[1:]]
    np.save(llp / "vggish" / f"{clips[0][:11]}.npy", np.ones((9, 8), np.float32))
    only_error(llp, f"vggish/{clips[0][:11]}.npy", r"\(9, 8\), but most clips have \(10, 8\)")


def test_faults_of_one_kind_are_one_line_with_three_names(llp):
    for path in sorted((llp / "vggish").iterdir())[:7]:
        path.write_bytes(path.read_bytes()[: -8 * (1 + ord(path.name[-5]) % 9)])
    message = only_error(llp, "vggish", "and 4 more: .* expected 448 for .*cut short")
    assert message.count(".npy") == 3


# ------------------------------------------------------------------------- names that match nothing
def test_a_split_without_a_marked_second(llp):
    clips = [line.split("\t")[0] for line in (llp / "AVVP_test_pd.csv").read_text().splitlines()]
    for modality, level in (("audio", "warning"), ("visual", "error")):
        path = llp / f"AVVP_eval_{modality}.csv"
        lines = [x for x in path.read_text().splitlines() if x.split("\t")[0] not in clips[1:]]
        path.write_text("\n".join(lines) + "\n")
        found = [(lv, words) for lv, file, words in judged(llp) if file == path.name]
        assert (level, "marks no second of the 4 clips of test") in found, found


def test_evaluation_rows_that_name_no_clip(llp):
    path = llp / "AVVP_eval_audio.csv"
    path.write_text(path.read_text().replace("_30_40", ""))
    message = only_error(llp, "AVVP_eval_audio.csv", r"none of its \d+ rows names a clip")
    assert re.search(r"it has '\S{11}', the lists have '\S{11}_30_40'", message)


def test_few_evaluation_rows_that_name_a_clip(llp):
    path = llp / "AVVP_eval_visual.csv"
    title, *rows = path.read_text().splitlines()
    for start in (1, 2):  # of three rows one stays as it is, in every split
        rows[start::3] = [row.replace("_30_40", "_030_040") for row in rows[start::3]]
    path.write_text("\n".join([title, *rows]) + "\n")
    found = [(level, file) for level, file, _ in judged(llp) if level != "note"]
    assert found == [("warning", "AVVP_eval_visual.csv")]


def test_an_evaluation_file_without_rows(llp):
    (llp / "AVVP_eval_audio.csv").write_text("filename\tonset\toffset\tevent_labels\n")
    only_error(llp, "AVVP_eval_audio.csv", "has no row")


# ------------------------------------------------------------------------------------- spreadsheets
def as_spreadsheet(folder, separator="\t", encoding="utf-8-sig"):
    """The folder's CSVs as a spreadsheet saves them: quotes, 9 as 9.0, Windows' ends of lines."""
    for path in folder.glob("AVVP_*.csv"):
        lines = []
        for line in path.read_text().splitlines():
            fields = [
                f"{field}.0" if field.isdecimal() else f'"{field}"' for field in line.split("\t")
            ]
            lines.append(separator.join(fields))
        path.write_bytes(("\r\n".join(lines) + "\r\n").encode(encoding))


@pytest.mark.parametrize(
    "separator, encoding", [("\t", "utf-8-sig"), (",", "utf-8"), (";", "utf-8"), ("\t", "utf-16")]
)
def test_csvs_from_a_spreadsheet_are_read(llp, separator, encoding):
    before = LLP(llp).hash
    as_spreadsheet(llp, separator, encoding)
    assert LLP(llp).hash == before and not [f for f in judged(llp) if f[0] != "note"]


def test_a_clip_with_an_empty_label_is_said_to_have_none(llp):
    path = llp / "AVVP_train.csv"
    lines = path.read_text().splitlines()
    lines[4] = lines[4].split("\t")[0] + "\t"
    path.write_text("\n".join(lines) + "\n")
    only_error(llp, "AVVP_train.csv", r"line 5: names no class \(an empty field\)")


def test_annotations_with_seconds_of_a_spreadsheet(ave):
    before = AVE(ave).hash
    path = ave / "Annotations.txt"
    path.write_text(re.sub(r"&(\d+)&(\d+)$", r"&\1.0&\2.00", path.read_text(), flags=re.M))
    assert AVE(ave).hash == before
    path.write_text(re.sub(r"&(\d+)\.0&", r"&\1.5&", path.read_text(), count=1))
    only_error(ave, "Annotations.txt", "expected a whole second")


# ------------------------------------------------------------------------ the archives' own folders
def test_the_released_archives_are_found_where_they_lie(llp, ave, tmp_path):
    before = LLP(llp).hash, AVE(ave).hash
    for name in ("vggish", "res152", "r2plus1d_18"):
        (llp / "feats").mkdir(exist_ok=True)
        (llp / name).rename(llp / "feats" / name)
    (llp / "data").mkdir()
    for path in llp.glob("AVVP_*.csv"):
        path.rename(llp / "data" / path.name)
    ave.rename(tmp_path / "data")
    (tmp_path / "AVE").mkdir()
    (tmp_path / "data").rename(tmp_path / "AVE" / "data")
    assert (LLP(llp).hash, AVE(tmp_path / "AVE").hash) == before
    assert not [f for f in check_folder(llp) + check_folder(tmp_path / "AVE") if f.level == "error"]
    pack = pack_folder(llp, tmp_path / "pack", progress=False)
    assert LLP(pack).hash == before[0] and (pack / "AVVP_train.csv").is_file()
    assert AVE(pack_folder(tmp_path / "AVE", tmp_path / "pack2", progress=False)).hash == before[1]


# ----------------------------------------------------------------------------- what is no such file
def put(kind, path):
    """Something else in a file's place."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")


WORDS = {"pipe": "is a pipe", "device": "is a device", "folder": "is a folder", "link": "a link to"}
AVE_FILES = [
    *("audio_feature.h5", "visual_feature_noisy.h5", "Annotations.txt", "train_order.h5"),
    *("labels.h5", "mil_labels.h5", "prob_label.h5", "labels_noisy.h5"),
    *("categories.txt", "world.json", "pack.json"),
]


@pytest.mark.parametrize("kind", WORDS)
@pytest.mark.parametrize("file", AVE_FILES)
def test_what_is_no_regular_file_is_named_and_nothing_hangs(ave, file, kind):
    put(kind, ave / file)
    errors = [found for found in judged(ave) if found[0] == "error"]
    assert errors[0][1] == file and WORDS[kind] in errors[0][2], errors


@pytest.mark.parametrize("kind", WORDS)
@pytest.mark.parametrize("file", ["AVVP_train.csv", "AVVP_eval_audio.csv", "vggish/*.npy"])
def test_the_same_of_llp(llp, file, kind):
    path = sorted(llp.glob(file))[0]
    put(kind, path)
    errors = [found for found in judged(llp, LLP) if found[0] == "error"]
    assert errors[0][1] == str(path.relative_to(llp)) and WORDS[kind] in errors[0][2], errors


def test_a_file_in_a_folders_place(tmp_path, ave, llp):
    for call in (check_folder, AVE):
        with pytest.raises(AvbookError, match="labels.h5: is a file; give its folder"):
            call(ave / "labels.h5")
    shutil.rmtree(llp / "vggish")
    (llp / "vggish").write_text("")
    only_error(llp, "vggish", "no such folder")


# --------------------------------------------------------------------------------------- HDF5 files
def replace_dataset(path, make):
    with h5py.File(path, "r+") as file:
        del file["avadataset"]
        make(file)


def virtual(file):
    layout = h5py.VirtualLayout((24, 10, 8), np.float32)
    layout[...] = h5py.VirtualSource("other.h5", "avadataset", (24, 10, 8))
    file.create_virtual_dataset("avadataset", layout)


LINKS = {
    "a dangling link": (
        lambda file: file.__setitem__("avadataset", h5py.SoftLink("/nowhere")),
        "is a broken link",
    ),
    "a link to itself": (
        lambda file: file.__setitem__("avadataset", h5py.SoftLink("/avadataset")),
        "is a broken link",
    ),
    "a link into another file": (
        lambda file: file.__setitem__("avadataset", h5py.ExternalLink("other.h5", "/x")),
        r"is a link into another file \(other.h5\)",
    ),
    "a group": (lambda file: file.create_group("avadataset"), "is a group"),
    "an empty dataset": (
        lambda file: file.create_dataset("avadataset", data=h5py.Empty("f4")),
        "is an empty dataset",
    ),
    "a virtual dataset": (virtual, "has its values in other files"),
    "values in another file": (
        lambda file: file.create_dataset(
            "avadataset", (24, 10, 8), "f4", external=[("raw.bin", 0, 24 * 10 * 8 * 4)]
        ),
        "has its values in other files",
    ),
    "ten thousand million rows": (
        lambda file: file.create_dataset("avadataset", (10**10, 10, 8), "f4", chunks=(1, 10, 8)),
        "most of it was never written",
    ),
    "as many, compressed": (
        lambda file: file.create_dataset(
            "avadataset", (10**10, 10, 8), "f4", chunks=(1, 10, 8), compression="gzip"
        ),
        "most of it was never written",
    ),
    "no floats": (
        lambda file: file.create_dataset("avadataset", data=np.ones((24, 10, 8), "c8")),
        "complex64|expected floats",
    ),
}


@pytest.mark.parametrize("what", LINKS)
@pytest.mark.parametrize("file", ["audio_feature.h5", "audio_feature_noisy.h5"])
def test_features_behind(ave, what, file):
    make, words = LINKS[what]
    replace_dataset(ave / file, make)
    only_error(ave, file, words)


@pytest.mark.parametrize("what", LINKS)
@pytest.mark.parametrize("file", ["labels.h5", "mil_labels.h5", "labels_noisy.h5"])
def test_labels_behind(ave, what, file):
    make, words = LINKS[what]
    replace_dataset(ave / file, make)
    only_error(ave, file, words + "|expected numbers")


def test_a_file_with_holes_that_claims_a_thousand_million_rows_is_not_read_through(ave):
    path = ave / "audio_feature.h5"
    with h5py.File(path, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((10**9, 10, 128))
        h5py.h5d.create(file.id, b"avadataset", h5py.h5t.IEEE_F32LE, space, plan)
    assert path.stat().st_size > 5e12
    errors = [found for found in judged(ave) if found[0] == "error"]
    assert any(file == "audio_feature.h5" and "5.1 TB" in words for _, file, words in errors)


def test_chunks_and_rows_that_are_too_large_are_refused(ave, monkeypatch):
    with h5py.File(ave / "audio_feature.h5", "r+") as file:
        values = file["avadataset"][...]
        del file["avadataset"]
        file.create_dataset("avadataset", data=values, chunks=(24, 10, 8))
    AVE(ave)
    monkeypatch.setattr("avbook.data.h5_files.LARGEST_PIECE", 24 * 10 * 8 * 4 - 1)
    only_error(ave, "audio_feature.h5", r"chunks of \(24, 10, 8\), larger than")


def test_a_soft_link_inside_the_file_is_followed(ave):
    before = AVE(ave).hash
    with h5py.File(ave / "audio_feature.h5", "r+") as file:
        file.move("avadataset", "features")
        file["avadataset"] = h5py.SoftLink("/features")
    assert AVE(ave).hash == before


LOCKED = """
import h5py, sys
file = h5py.File(sys.argv[1], "r+")
print("open", flush=True)
sys.stdin.read()
"""


def test_a_file_that_another_program_writes_is_said_to_be_locked(ave):
    path = ave / "audio_feature.h5"
    writer = subprocess.Popen(
        [sys.executable, "-c", LOCKED, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "HDF5_USE_FILE_LOCKING": "TRUE"},
    )
    try:
        assert writer.stdout.readline() == "open\n"
        only_error(ave, "audio_feature.h5", "is locked: .*HDF5_USE_FILE_LOCKING=FALSE")
    finally:
        writer.stdin.close()
        writer.wait()
    assert not [found for found in judged(ave) if found[0] == "error"]


# --------------------------------------------------------------------------------------- .npy files
def npy_header(text):
    text += " " * (63 - (len(text) + 10) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1")


NPY = {
    "an npz": (lambda path: np.savez(path.open("wb"), np.ones((10, 8))), "it is an .npz archive"),
    "nothing": (lambda path: path.write_bytes(b""), "not a .npy array|cannot be read as .npy"),
    "text": (lambda path: path.write_text("features"), "not a .npy array"),
    "10**18 numbers": (
        lambda path: path.write_bytes(
            npy_header(
                "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000000000)}"
            )
        ),
        "expected 4,000,000,000,000,000,",
    ),
    "a negative size": (
        lambda path: path.write_bytes(
            npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-10, -8)}") + b"0" * 320
        ),
        "cut short",
    ),
    "brackets without end": (
        lambda path: path.write_bytes(npy_header("(" * 5000)),
        "not a .npy array|cannot be read",
    ),
    "another version": (
        lambda path: path.write_bytes(b"\x93NUMPY\x07\x00" + b" " * 100),
        "cannot be read|not a .npy array",
    ),
    "whole numbers": (lambda path: np.save(path, np.ones((10, 8), int)), "int64"),
    "records": (lambda path: np.save(path, np.zeros(10, "f4,i4")), "expected floats"),
    "no values": (lambda path: np.save(path, np.zeros((0, 8), np.float32)), r"\(0, 8\), but most"),
}


@pytest.mark.parametrize("what", NPY)
def test_under_the_name_of_a_clip_lies(llp, what):
    make, words = NPY[what]
    path = sorted((llp / "vggish").iterdir())[3]
    make(path)
    only_error(llp, f"vggish/{path.name}", words)


def test_a_clip_in_fortran_order_is_read(llp):
    path = sorted((llp / "vggish").iterdir())[3]
    before = LLP(llp).hash
    np.save(path, np.asfortranarray(np.load(path)))
    assert LLP(llp).hash == before


# -------------------------------------------------------------------------------------------- packs
def test_a_pack_replaced_under_an_open_reader(ave, tmp_path):
    pack = pack_folder(ave, tmp_path / "pack", progress=False)
    train = AVE(pack, cache_mb=0).train
    shutil.rmtree(pack)
    with pytest.raises(AvbookError, match="removed, replaced or modified since it was opened"):
        train[:]
    pack_folder(write_ave(tmp_path / "other", seed=1)[0], pack, progress=False)
    with pytest.raises(AvbookError, match="removed, replaced or modified since it was opened"):
        train[:]


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.update(shape=float("inf")),
        lambda entry: entry.update(shape=[24, 10, 8.0]),
        lambda entry: entry.update(shape=[24, 10, 0]),
        lambda entry: entry.update(shape=[24]),
        lambda entry: entry.update(block_rows=0),
        lambda entry: entry.update(block_rows=None),
        lambda entry: entry.update(block_rows=10**9),
        lambda entry: entry.update(crc32=True),
        lambda entry: entry.update(crc32=[]),
        lambda entry: entry.update(crc32=[1.5]),
        lambda entry: entry.update(file=7),
        lambda entry: entry.update(file="../audio.npy"),
        lambda entry: entry.update(file="a\0b"),
        lambda entry: entry.pop("crc32"),
        lambda entry: entry.clear(),
    ],
)
def test_a_packs_description_with_another_value(ave, tmp_path, change):
    pack = pack_folder(ave, tmp_path / "pack", progress=False)
    manifest = json.loads((pack / "pack.json").read_text())
    change(manifest["arrays"]["audio"])
    (pack / "pack.json").write_text(json.dumps(manifest))
    found = judged(pack)
    assert found[0][:2] == ("error", "pack.json")
    assert "pack the official folder again" in found[0][2], found


def test_a_class_list_of_a_million_lines_is_refused_at_once(ave):
    (ave / "categories.txt").write_text("\n".join(map(str, range(10**6))))
    errors = [found for found in judged(ave) if found[0] == "error"]
    assert errors[0][1] == "categories.txt" and "1000000 lines" in errors[0][2]
