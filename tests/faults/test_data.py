"""Bad data: every fault gives one line that names the file, what is there and what to do, from the
loader and from the check."""

import json
import re

import h5py
import numpy as np
import pytest
from made_folders import write_ave, write_h5

from avbook.data.ave import AVE
from avbook.data.llp import LLP
from avbook.data.packs import check_folder, pack_folder
from avbook.errors import AvbookError


def refused(load, folder, file, *words):
    """The loader's message, after it was found to be one line about the file, and the check to say
    the same as an error."""
    with pytest.raises(AvbookError) as caught:
        load(folder)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700 and str(folder) in message
    assert file in message, message
    for word in words:
        assert re.search(word, message), f"{word!r} not in {message!r}"
    errors = [finding for finding in check_folder(folder) if finding.level == "error"]
    assert any(
        finding.file == file and all("\n" not in str(finding) for finding in errors)
        for finding in errors
    ), errors
    return message


def truncate(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


# ---------------------------------------------------------------------------------------------- AVE
@pytest.mark.parametrize(
    "file", ["audio_feature.h5", "visual_feature.h5", "train_order.h5", "test_order.h5"]
)
def test_a_missing_file(ave, file):
    (ave / file).unlink()
    refused(AVE, ave, file, "no such file")


def test_neither_labels_nor_annotations(ave):
    (ave / "labels.h5").unlink()
    (ave / "Annotations.txt").unlink()
    refused(AVE, ave, "labels.h5", "Annotations.txt")


@pytest.mark.parametrize("file", ["visual_feature.h5", "labels.h5", "val_order.h5"])
def test_a_truncated_h5(ave, file):
    truncate(ave / file)
    refused(AVE, ave, file, r"cut short: [\d,]+ of [\d,]+ bytes; get it again")


def test_an_h5_that_is_a_web_page(ave):
    (ave / "audio_feature.h5").write_text("<html>quota exceeded</html>")
    refused(AVE, ave, "audio_feature.h5", "not an HDF5 file")


@pytest.mark.parametrize(
    "file, name",
    [("audio_feature.h5", "avadataset"), ("labels.h5", "avadataset"), ("train_order.h5", "order")],
)
def test_a_wrong_dataset_name(ave, file, name):
    with h5py.File(ave / file, "r+") as h5:
        h5.move(name, "data")
    refused(AVE, ave, file, "holds 'data', expected a dataset '" + name)


def test_features_that_are_no_floats(ave):
    write_h5(ave / "audio_feature.h5", np.zeros((24, 10, 8), np.uint8))
    refused(AVE, ave, "audio_feature.h5", "uint8", "expected floats")
    with h5py.File(ave / "audio_feature.h5", "w") as h5:
        h5.create_dataset("avadataset", (24,), h5py.string_dtype())
    refused(AVE, ave, "audio_feature.h5", "expected floats")


@pytest.mark.parametrize(
    "shape, words",
    [
        ((23, 10, 3, 3, 6), r"\(24, 10, 8\)"),
        ((24, 9, 3, 3, 6), r"\(24, 10, 8\)"),
        ((24, 10, 54), "height, width"),
        ((24, 10, 3, 3, 0), "none of them 0"),
    ],
)
def test_visual_features_of_another_shape(ave, shape, words):
    write_h5(ave / "visual_feature.h5", np.zeros(shape, np.float32))
    refused(AVE, ave, "visual_feature.h5", words)


def test_labels_of_another_shape(ave):
    write_h5(ave / "labels.h5", np.zeros((24, 10, 12), np.float32))
    refused(AVE, ave, "labels.h5", r"\(24, 10, 12\)", r"\(24, 10, 29\)", "categories.txt")


def test_labels_that_are_not_one_hot(ave):
    with h5py.File(ave / "labels.h5", "r+") as h5:
        h5["avadataset"][7, 3] = 0
    refused(AVE, ave, "labels.h5", "row 7: not one-hot")


def test_labels_in_another_order_than_the_annotations(ave):
    with h5py.File(ave / "labels.h5", "r+") as h5:
        h5["avadataset"][[2, 3]] = h5["avadataset"][[2, 3]][::-1]
    refused(AVE, ave, "labels.h5", "row 2, 3: a different class")


def test_labels_that_differ_in_seconds_only_are_used_and_noted(ave):
    with h5py.File(ave / "labels.h5", "r+") as h5:
        at = int(np.flatnonzero(h5["avadataset"][..., 28].any(1))[0])  # a clip with background
        row = h5["avadataset"][at]
        row[:] = row[row[:, :28].any(1)][0]  # now the event fills it
        h5["avadataset"][at] = row
    for name in ("mil_labels.h5", "prob_label.h5"):
        (ave / name).unlink()
    data = AVE(ave)
    split = next(split for split in data.splits.values() if at in split.rows)
    assert np.array_equal(split.labels[split.rows == at][0], row)
    assert [str(f) for f in check_folder(ave)] == [
        f"note: labels.h5: row {at}: other seconds than in Annotations.txt; labels.h5 is used"
    ]


def test_an_annotation_list_of_other_clips(ave):
    lines = (ave / "Annotations.txt").read_text().splitlines()
    (ave / "Annotations.txt").write_text("\n".join(lines[:-1]))
    refused(AVE, ave, "Annotations.txt", "23 clips, but the features have 24")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cache_mb", [0, 600])
def test_nan_and_infinity_in_features(tmp_path, value, cache_mb, dtype):
    folder, _, visual = write_ave(tmp_path / "ave", dtype=dtype)
    visual[21, 9, 2, 2, 5] = value
    write_h5(folder / "visual_feature.h5", visual)
    refused(
        lambda where: AVE(where, cache_mb=cache_mb),
        folder,
        "visual_feature.h5",
        "row 21",
        "NaN or infinity",
    )


@pytest.mark.parametrize("index", [24, -1, 10**9])
def test_an_order_index_out_of_range(ave, index):
    with h5py.File(ave / "val_order.h5", "r+") as h5:
        h5["order"][2] = index
    refused(AVE, ave, "val_order.h5", f"index {index} is out of range: there are 24 clips")


def test_overlapping_splits(ave):
    with (
        h5py.File(ave / "val_order.h5", "r") as val,
        h5py.File(ave / "test_order.h5", "r+") as test,
    ):
        test["order"][0] = val["order"][5]
    refused(AVE, ave, "test_order.h5", "1 clips are also in val_order.h5", "the splits overlap")


def test_a_clip_twice_in_a_split(ave):
    with h5py.File(ave / "train_order.h5", "r+") as h5:
        h5["order"][0] = h5["order"][1]
    refused(AVE, ave, "train_order.h5", "more than once")


def test_a_clip_in_no_split_is_only_noted(ave):
    write_h5(ave / "val_order.h5", h5py.File(ave / "val_order.h5")["order"][1:], "order")
    assert len(AVE(ave).val) == 5
    assert "note: train_order.h5: 1 of 24 clips are in no split" in map(str, check_folder(ave))


BAD_LINES = [
    ("Church bell&../../etc/x&good&0&3", "'../../etc/x': not a video id"),
    ("Church bell&/etc/passwd&good&0&3", "'/etc/passwd'"),
    ("Church bell&abcdefghij&good&0&3", "line 6: 'abcdefghij': not a video id; expected 11 char"),
    ("Church bell&abcdefghij.&good&0&3", "expected 11 characters out of A-Z a-z 0-9 _ -"),
    ("Church bell&abcdéfghijk&good&0&3", "expected 11 characters out of A-Z a-z 0-9 _ -"),
    ("Gong&abcdefghijk&good&0&3", "line 6: unknown category 'Gong': not one of the 28 classes"),
    ("Church bel&abcdefghijk&good&0&3", "line 6: unknown category 'Church bel'"),
    ("Church bell&abcdefghijk&good&7&3", "line 6: the event ends at 3, before it starts at 7"),
    ("Church bell&abcdefghijk&good&-1&3", "line 6: found '-1' as onset; expected a whole second"),
    ("Church bell&abcdefghijk&good&0&11", "line 6: found '11' as offset; expected a whole second"),
    ("Church bell&abcdefghijk&good&0&3.5", "line 6: found '3.5' as offset; expected a whole sec"),
    ("Church bell&abcdefghijk", "line 6: found 'Church bell&abcdefghijk'; expected category&id&"),
]


@pytest.mark.parametrize("line, words", BAD_LINES)
def test_a_bad_line_in_the_annotations(ave, line, words):
    lines = (ave / "Annotations.txt").read_text().splitlines()
    (ave / "Annotations.txt").write_text(
        "\n".join([*lines[:5], line, *lines[6:]]), encoding="utf-8"
    )
    refused(AVE, ave, "Annotations.txt", re.escape(words))


def test_annotations_that_are_no_text(ave):
    (ave / "Annotations.txt").write_bytes(b"\x80\x81\x00\x01" * 30)
    refused(AVE, ave, "Annotations.txt", "UTF-8")
    (ave / "Annotations.txt").write_text("\n")
    refused(AVE, ave, "Annotations.txt", "is empty")


def test_a_class_named_twice(ave):
    (ave / "categories.txt").write_text("Rain\nWind\nRain\n")
    refused(AVE, ave, "categories.txt", "'Rain' is there twice")


def test_weak_labels_in_another_order(ave):
    with h5py.File(ave / "mil_labels.h5", "r+") as h5:
        h5["avadataset"][...] = np.roll(h5["avadataset"][...], 1, axis=0)
    assert (
        "error: mil_labels.h5: row 0, 1, 2 and 21 more: contradicts the segment labels; its rows"
        " are in another order or belong to other labels" in map(str, check_folder(ave))
    )


def test_weak_without_its_background_clips(ave):
    (ave / "visual_feature_noisy.h5").unlink()
    assert len(AVE(ave).train) == 12
    with pytest.raises(AvbookError, match="weak=True needs it") as caught:
        AVE(ave, weak=True)
    assert "\n" not in str(caught.value)
    assert [f.level for f in check_folder(ave)] == ["note"]


def test_background_clips_of_another_size(ave):
    write_h5(ave / "visual_feature_noisy.h5", np.zeros((5, 10, 3, 3, 7), np.float32))
    refused(
        lambda folder: AVE(folder, weak=True), ave, "visual_feature_noisy.h5", r"\(10, 3, 3, 7\)"
    )
    write_h5(ave / "labels_noisy.h5", np.zeros((4, 29)))
    assert any(f.file == "labels_noisy.h5" and f.level == "error" for f in check_folder(ave))


def test_no_such_folder(tmp_path):
    for call in (AVE, LLP, check_folder, lambda folder: pack_folder(folder, tmp_path / "out")):
        with pytest.raises(AvbookError, match="no such folder") as caught:
            call(tmp_path / "nowhere")
        assert "\n" not in str(caught.value)


def test_everything_wrong_is_found_at_one_look(ave):
    (ave / "audio_feature.h5").unlink()
    truncate(ave / "labels.h5")
    with h5py.File(ave / "val_order.h5", "r+") as h5:
        h5["order"][2] = 99
    assert [f.file for f in check_folder(ave) if f.level == "error"] == [
        "audio_feature.h5",
        "labels.h5",
        "val_order.h5",
    ]
    with pytest.raises(AvbookError, match="and 2 more"):
        AVE(ave)


def test_a_file_that_shrinks_while_it_is_read(ave):
    train = AVE(ave, cache_mb=0).train
    truncate(ave / "visual_feature.h5", 0.3)
    with pytest.raises(AvbookError, match="removed, replaced or modified since it was opened"):
        train[:]


# ---------------------------------------------------------------------------------------------- LLP
def edit(path, change):
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "file", ["AVVP_train.csv", "AVVP_test_pd.csv", "AVVP_eval_audio.csv", "AVVP_eval_visual.csv"]
)
def test_a_missing_list(llp, file):
    (llp / file).unlink()
    refused(LLP, llp, file, "no such file")


def test_an_unknown_class_in_a_csv(llp):
    for file in ("AVVP_val_pd.csv", "AVVP_eval_audio.csv"):
        edit(
            llp / file, lambda lines: lines.__setitem__(2, lines[2].rpartition("\t")[0] + "\tGong")
        )
        refused(LLP, llp, file, "line 3: unknown category 'Gong'")
        (llp / "AVVP_val_pd.csv").write_text(
            (llp / "AVVP_val_pd.csv").read_text().replace("Gong", "Dog")
        )


@pytest.mark.parametrize(
    "onset, offset, words",
    [
        (7, 3, "the onset 7 of Dog in .* lies after its offset 3"),
        ("-1", 3, "found '-1' as onset; expected a whole second from 0 to 10"),
        (0, 11, "found '11' as offset; expected a whole second from 0 to 10"),
        ("0.5", 2, "found '0.5' as onset; expected a whole second"),
        ("", 2, "found '' as onset; expected a whole second"),
        ("9" * 5000, 2, "as onset; expected a whole second"),
    ],
)
def test_bad_spans(llp, onset, offset, words):
    name = (llp / "AVVP_val_pd.csv").read_text().splitlines()[1].split("\t")[0]
    edit(
        llp / "AVVP_eval_visual.csv", lambda lines: lines.append(f"{name}\t{onset}\t{offset}\tDog")
    )
    refused(LLP, llp, "AVVP_eval_visual.csv", words)


def test_an_empty_span_marks_nothing_and_is_noted(llp):
    name = (llp / "AVVP_val_pd.csv").read_text().splitlines()[1].split("\t")[0]
    before = LLP(llp).val.visual_labels
    edit(llp / "AVVP_eval_visual.csv", lambda lines: lines.append(f"{name}\t5\t5\tDog"))
    assert np.array_equal(LLP(llp).val.visual_labels, before)
    assert any("1 rows are empty" in f.message for f in check_folder(llp) if f.level == "note")


def test_rows_of_clips_in_no_split_are_noted(llp):
    edit(llp / "AVVP_eval_audio.csv", lambda lines: lines.append("zzzzzzzzzzz_0_10\t5\t8\tDog"))
    LLP(llp)
    assert any(
        "1 rows are of 1 clips in none of its splits, and are not used: zzzzzzzzzzz_0_10"
        in f.message
        for f in check_folder(llp)
    )


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/p_0_10",
        "/etc/passwd_0_10",
        "abcdefghij_0_10",
        "abc/efghijk_0_10",
        "abcdefghijk",
        "abcdefghijk_0_10.npy",
    ],
)
def test_a_clip_name_with_a_path_in_it(llp, name):
    edit(llp / "AVVP_train.csv", lambda lines: lines.append(f"{name}\tDog"))
    refused(LLP, llp, "AVVP_train.csv", "line 10: .* is not a clip's name")


def test_overlapping_and_repeated_clips(llp):
    line = (llp / "AVVP_train.csv").read_text().splitlines()[1]
    edit(llp / "AVVP_test_pd.csv", lambda lines: lines.append(line))
    refused(
        LLP, llp, "AVVP_test_pd.csv", "1 videos are also in AVVP_train.csv", "the splits overlap"
    )
    edit(llp / "AVVP_test_pd.csv", lambda lines: lines.__setitem__(-1, lines[1]))
    refused(LLP, llp, "AVVP_test_pd.csv", "line 6: .* is listed a second time, after line 2")
    edit(
        llp / "AVVP_test_pd.csv",
        lambda lines: lines.__setitem__(-1, lines[1].replace("_30_40", "_50_60")),
    )
    refused(LLP, llp, "AVVP_test_pd.csv", "several clips of one video")


def test_titles_and_fields(llp):
    edit(llp / "AVVP_val_pd.csv", lambda lines: lines.append("abcdefghijk_0_10"))
    refused(LLP, llp, "AVVP_val_pd.csv", "line 6: 1 fields; expected 2")
    edit(llp / "AVVP_val_pd.csv", lambda lines: lines.pop(0))
    refused(LLP, llp, "AVVP_val_pd.csv", "expected the columns filename, event_labels")


def test_missing_feature_files_are_counted_and_three_are_named(llp):
    gone = sorted(path.stem for path in (llp / "res152").iterdir())[::2]
    for name in gone:
        (llp / "res152" / f"{name}.npy").unlink()
    refused(LLP, llp, "res152", "8 of 16 files are missing")
    message = next(f.message for f in check_folder(llp) if f.file == "res152")
    assert sum(name in message for name in gone) == 3 and "and 5 more" in message


@pytest.mark.parametrize(
    "array, words",
    [
        (np.zeros((10, 9), np.float32), r"\(10, 9\), but most clips have \(10, 8\)"),
        (np.zeros((9, 8), np.float32), r"\(9, 8\)"),
        (np.zeros((10, 8), np.int16), "int16"),
    ],
)
def test_one_feature_file_unlike_the_others(llp, array, words):
    path = sorted((llp / "vggish").iterdir())[-1]
    np.save(path, array)
    refused(LLP, llp, f"vggish/{path.name}", words)


def test_a_truncated_or_pickled_feature_file(llp):
    path = sorted((llp / "vggish").iterdir())[-1]
    truncate(path)
    refused(LLP, llp, f"vggish/{path.name}", "224 bytes, expected 448 for float32", "cut short")
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    refused(LLP, llp, f"vggish/{path.name}", "object .*expected floats")


@pytest.mark.parametrize(
    "kind, shape, words",
    [
        ("res152", (75, 12), "a whole multiple"),
        ("r2plus1d_18", (20, 6), "the same number"),
        ("vggish", (10, 8, 1), "segments or frames"),
        ("vggish", (0, 8), "segments or frames"),
    ],
)
def test_features_that_do_not_fit_each_other(llp, kind, shape, words):
    for path in (llp / kind).iterdir():
        np.save(path, np.zeros(shape, np.float32))
    refused(LLP, llp, kind, words)


def test_nan_in_one_feature_file(llp):
    path = sorted((llp / "r2plus1d_18").iterdir())[3]
    np.save(path, np.full((10, 6), np.nan, np.float32))
    for cache_mb in (0, 600):
        refused(
            lambda where, size=cache_mb: LLP(where, cache_mb=size),
            llp,
            f"r2plus1d_18/{path.name}",
            "NaN",
        )


# -------------------------------------------------------------------------------------------- packs
@pytest.fixture
def pack(ave, tmp_path):
    return pack_folder(ave, tmp_path / "pack", progress=False)


def test_a_pack_of_another_version(pack):
    manifest = json.loads((pack / "pack.json").read_text())
    (pack / "pack.json").write_text(json.dumps({**manifest, "version": 2}))
    refused(AVE, pack, "pack.json", "a pack of version 2; this avbook reads version 1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"version": 1}',
        '{"version": 1, "files": [], "arrays": {"audio": 3}}',
        '{"version": 1, "files": {"../../x": 1}, "arrays": {}}',
    ],
)
def test_a_pack_whose_description_is_broken(pack, text):
    (pack / "pack.json").write_text(text)
    refused(AVE, pack, "pack.json", "not a pack's description")


@pytest.mark.parametrize("where", [200, -1])
def test_a_corrupted_byte_in_a_pack(pack, where):
    data = bytearray((pack / "visual.npy").read_bytes())
    data[where] ^= 0x01  # one bit: still a finite number, so only the checksum can tell
    (pack / "visual.npy").write_bytes(data)
    refused(AVE, pack, "visual.npy", "not what was packed")
    with pytest.raises(AvbookError, match="not what was packed"):
        AVE(pack, cache_mb=0)


def test_a_corrupted_small_file_of_a_pack(pack):
    text = (pack / "Annotations.txt").read_text()
    (pack / "Annotations.txt").write_text(text.replace("&good&", "&fine&", 1))
    assert (
        "error: Annotations.txt: not what was packed (checksum); copy it again from the official"
        " folder, or pack again" in map(str, check_folder(pack))
    )


def test_a_pack_cut_short_or_of_other_shape(pack):
    np.save(pack / "audio.npy", np.zeros((24, 10, 9), np.float16))
    refused(AVE, pack, "audio.npy", r"\(24, 10, 9\), but pack.json says")
    truncate(pack / "audio.npy", 0.9)
    refused(AVE, pack, "audio.npy", "cut short")
    (pack / "audio.npy").unlink()
    refused(AVE, pack, "audio.npy", "no such file")


def test_a_folder_with_errors_is_not_packed(ave, tmp_path):
    (ave / "test_order.h5").unlink()
    with pytest.raises(AvbookError, match="test_order.h5"):
        pack_folder(ave, tmp_path / "pack", progress=False)
    assert not list(tmp_path.glob("pack*"))
