"""The one parser of the annotation files: strict or collecting, the same rows, the same words."""

import h5py
import numpy as np
import pytest
from made_folders import write_ave, write_llp

from avbook.data.annotations import (
    LLPVideo,
    read_annotations,
    read_ave_orders,
    read_order,
    read_spans,
    read_videos,
)
from avbook.data.labels import span_masks
from avbook.data.packs import check_folder
from avbook.data.validation import ValidationReport
from avbook.errors import AvbookError
from avbook.world.clips import read_scripts

LIST, SPANS = "filename\tevent_labels\n", "filename\tonset\toffset\tevent_labels\n"


def errors_of(folder, file):
    return [f.message for f in check_folder(folder) if f.level == "error" and f.file == file]


# each: the reader, its file with good lines between bad ones, the good rows, the faults in order
CASES = {
    "annotations": (
        read_annotations,
        "Category&VideoID&Quality&StartTime&EndTime\nBark&aaaaaaaaaaa&good&0&10\nGong&aaaaaaaaaaa"
        "&good&0&10\n\nBark&bbbbbbbbbbb&good&4\nBark&bbbbbbbbbbb&good&3&3\n",
        [("Bark", "aaaaaaaaaaa", 0, 10, 2), ("Bark", "bbbbbbbbbbb", 3, 3, 6)],
        ["line 3: unknown category 'Gong'", "line 5: found 'Bark&bbbbbbbbbbb&good&4'"],
    ),
    "list": (
        read_videos,
        LIST + "aaaaaaaaaaa_0_10\tDog,Cat,Dog\naaaaaaaaaaa_0_10\tDog\nbbbbbbbbbbb_0_10\t\n"
        "ccccccccccc_0_10\tCar\n",
        [("aaaaaaaaaaa_0_10", ("Dog", "Cat"), 2), ("ccccccccccc_0_10", ("Car",), 5)],
        [
            "line 3: aaaaaaaaaaa_0_10 is listed a second time, after line 2",
            "line 4: names no class (an empty field)",
        ],
    ),
    "spans": (
        read_spans,
        SPANS + "a\t0\t3\tDog\na\t3\t11\tDog\nb\t5\t5\tCat\nb\t9\t0\tCat\n",
        [("a", 0, 3, "Dog", 2), ("b", 5, 5, "Cat", 4)],
        ["line 3: found '11' as offset", "line 5: the onset 9 of Cat in b lies after its offset 0"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_reader_raises_the_first_fault_and_a_report_collects_all(tmp_path, case):
    reader, text, rows, faults = CASES[case]
    (tmp_path / "file").write_text(text)
    with pytest.raises(AvbookError) as caught:
        reader(tmp_path / "file")
    assert str(caught.value).startswith(f"{tmp_path / 'file'}: {faults[0]}")

    report = ValidationReport(tmp_path)
    assert report.read_rows("file", reader) is None
    messages = [finding.message for finding in report.errors()]
    assert len(messages) == len(faults)
    assert all(found.startswith(fault) for found, fault in zip(messages, faults))

    noted = []
    found = reader(tmp_path / "file", on_fault=lambda path, line, message: noted.append(line))
    assert found == rows and [f"line {line}" for line in noted] == [f.split(":")[0] for f in faults]


def test_rows_without_a_fault_are_the_same_for_both(tmp_path):
    (tmp_path / "file").write_text(LIST + "aaaaaaaaaaa_0_10\tDog\n")
    report = ValidationReport(tmp_path)
    rows = report.read_rows("file", read_videos)
    assert rows == read_videos(tmp_path / "file") == [LLPVideo("aaaaaaaaaaa_0_10", ("Dog",), 2)]
    assert not report.findings


def test_lines_with_one_kind_of_fault_are_one_error(tmp_path):
    lines = [f"a\t0\t{end}\tDog" for end in range(11, 18)]
    (tmp_path / "same").write_text(SPANS + "\n".join(lines))
    report = ValidationReport(tmp_path)
    assert report.read_rows("same", read_spans) is None
    (error,) = report.errors()
    assert error.message.startswith("line 2, 3, 4 and 4 more: found '11' as offset")
    assert error.message.endswith("(and 6 more such)")


def test_the_check_names_every_bad_line_of_a_folder(tmp_path):
    folder = write_ave(tmp_path / "ave")[0]
    lines = (folder / "Annotations.txt").read_text().splitlines()
    lines[3], lines[8] = "Gong&abcdefghijk&good&0&3", "Bark&abcdefghijk&good&0&x"
    (folder / "Annotations.txt").write_text("\n".join(lines))
    first, second = errors_of(folder, "Annotations.txt")
    assert first.startswith("line 4: unknown category 'Gong'")
    assert second.startswith("line 9: found 'x' as offset")


@pytest.mark.parametrize(
    "task, file, line",
    [
        ("ave", "Annotations.txt", "Bark&abcdefghijk&good&7&3"),
        ("ave", "Annotations.txt", "Bark&../../../etc&good&1&3"),
        ("llp", "AVVP_train.csv", "abcdefghijk\tDog"),
        ("llp", "AVVP_eval_audio.csv", "abcdefghijk_0_10\t0\t12\tDog"),
    ],
)
def test_the_world_and_the_check_say_the_same_of_a_bad_line(tmp_path, task, file, line):
    folder = {"ave": write_ave, "llp": write_llp}[task](tmp_path / task)[0]
    with open(folder / file, "a") as text:
        text.write(line + "\n")
    with pytest.raises(AvbookError) as caught:
        read_scripts(task, folder)
    assert str(caught.value).removeprefix(f"{folder / file}: ") in errors_of(folder, file)


def test_spans_turned_round_pass_where_they_are_allowed_and_mark_nothing(tmp_path):
    path = tmp_path / "AVVP_eval_audio.csv"
    path.write_text(SPANS + "a\t9\t0\tCat\n8DF2PxdT5tE_390_400\t9\t0\tCheering\n")
    with pytest.raises(AvbookError, match="line 2: the onset 9 of Cat"):  # not the published slip
        read_spans(path)
    masks = span_masks(read_spans(path, inverted=True))
    assert list(masks) == ["a", "8DF2PxdT5tE_390_400"]
    assert not any(mask.any() for classes in masks.values() for mask in classes.values())


def test_masks_keep_the_order_of_the_file_and_join_spans(tmp_path):
    path = tmp_path / "spans"
    path.write_text(SPANS + "a\t0\t2\tDog\na\t5\t6\tCat\na\t1\t4\tDog\n")
    masks = span_masks(read_spans(path))["a"]
    assert list(masks) == ["Dog", "Cat"]
    assert masks["Dog"].nonzero()[0].tolist() == [0, 1, 2, 3]


def test_columns_may_stand_in_another_order_and_beside_others(tmp_path):
    path = tmp_path / "spans"
    path.write_text("event_labels\tsource\toffset\tonset\tfilename\nDog\tx\t3\t1\ta\n")
    assert read_spans(path) == [("a", 1, 3, "Dog", 2)]


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_an_order_is_a_list_in_one_column_or_none(tmp_path, shape):
    with h5py.File(tmp_path / "train_order.h5", "w") as file:
        file["order"] = np.array([3, 0, 2, 1]).reshape(shape)
    assert read_order(tmp_path / "train_order.h5").tolist() == [3, 0, 2, 1]


@pytest.mark.parametrize(
    "order", [np.zeros((2, 2)), np.array(3), np.array([0.5]), np.array([np.nan]), np.array([b"a"])]
)
def test_an_order_of_another_form(tmp_path, order):
    with h5py.File(tmp_path / "val_order.h5", "w") as file:
        file["order"] = order
    with pytest.raises(AvbookError, match="val_order.h5: .*expected"):
        read_order(tmp_path / "val_order.h5")


def test_an_empty_order_is_fine_for_the_world_and_an_error_for_a_loader(tmp_path):
    folder = write_ave(tmp_path / "ave")[0]
    for split, rows in (("train", range(24)), ("val", []), ("test", [])):
        with h5py.File(folder / f"{split}_order.h5", "w") as file:
            file["order"] = np.array(rows, int)
    assert [len(rows) for rows in read_ave_orders(folder, 24).values()] == [24, 0, 0]
    assert errors_of(folder, "val_order.h5") == ["lists no clip"]
