"""Own labels as official files: what the loaders read of them, whole or not at all."""

import json
import os
import shutil
from fractions import Fraction

import numpy as np
import pytest
from made_folders import write_ave, write_h5
from own_folders import write_features

from avbook.common.system import lock
from avbook.data import labelling
from avbook.data.annotations import read_annotations
from avbook.data.ave import AVE
from avbook.data.h5_files import read_h5
from avbook.data.labelling import LabelFaults, covered_seconds, label_folder
from avbook.data.llp import LLP
from avbook.data.packs import check_folder, pack_folder
from avbook.errors import AvbookError

TITLES = {"ave": "file,onset,offset,event", "llp": "file,onset,offset,event,modality"}
# names that people give: blanks, Apple's accents, what a shell or a list might take for its own
VIDEOS = [
    *("-dash", "Rex & Minka #1", "Cafe\u0301 20:15\u202fUhr", "a,b;c", "abcdefghijk_30_40"),
    *("clip.v2", 'the "zoo"', *[f"clip {i}" for i in range(8)]),
]
LOAD = {"ave": AVE, "llp": LLP}


def write_csv(path, lines, task="ave"):
    path.write_text("\n".join([TITLES[task], *lines]) + "\n", encoding="utf-8")
    return path


def quoted(name):
    return '"' + name.replace('"', '""') + '.mp4"'


def made(tmp_path, task="ave", **options):
    """A folder of features, and lines for all of its videos but the last."""
    folder = write_features(tmp_path / task, task, VIDEOS, **options)
    lines = [
        f"{quoted(video)},{i % 4},{i % 4 + 3.5},{'Dog' if i % 3 else 'Cat'}"
        + ",both" * (task == "llp")
        for i, video in enumerate(VIDEOS[:-1])
    ]
    return folder, lines


def labelled(tmp_path, task="ave", **options):
    folder, lines = made(tmp_path, task)
    written = label_folder(folder, write_csv(tmp_path / "labels.csv", lines, task), **options)
    return folder, written


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# ------------------------------------------------------------------------------------ whole seconds
@pytest.mark.parametrize(
    "spans, seconds",
    [
        ([("0", "3")], [0, 1, 2]),
        ([("0.5", "2.5")], [0, 1, 2]),  # half of a second is enough
        ([("0.51", "2.49")], [1]),
        ([("0.1", "0.6")], [0]),  # exactly half, though 0.6 - 0.1 is less in binary
        ([("3.2", "3.4")], [3]),  # too short for any second
        ([("3.6", "4.4")], [3]),  # as much of both
        ([("3.7", "4.4")], [4]),
        ([("3.0", "3.3"), ("3.5", "3.8")], [3]),  # together more than half
        ([("3.0", "3.3"), ("3.1", "3.4")], [3]),  # not 0.6: they overlap; still not lost
        ([("1", "5"), ("2", "3")], [1, 2, 3, 4]),  # one within the other
        ([("2", "4"), ("4.1", "4.3")], [2, 3, 4]),  # a short one after a long one
        ([("2", "4"), ("4.0", "4.3")], [2, 3]),  # goes on a little: the same event
        ([("9.5", "10")], [9]),
        ([], []),
    ],
)
def test_a_second_counts_if_half_of_it_is_covered(spans, seconds):
    exact = [(Fraction(onset), Fraction(offset)) for onset, offset in spans]
    for some in (exact, exact[::-1]):
        assert np.flatnonzero(covered_seconds(some, 10)).tolist() == seconds


# ------------------------------------------------------------------------------- the official files
@pytest.mark.parametrize("task", ["ave", "llp"])
def test_the_folder_loads_passes_the_check_and_is_packed(tmp_path, task):
    folder, written = labelled(tmp_path, task)
    levels = {issue.level for issue in check_folder(folder)}
    assert levels <= {"note"}, check_folder(folder)
    data = LOAD[task](folder)
    assert data.categories == written.categories == ("Cat", "Dog")
    for split, names in written.splits.items():
        assert data.splits[split].ids.tolist() == names
    assert sorted(sum(written.splits.values(), [])) == sorted(VIDEOS)
    pack = pack_folder(folder, tmp_path / "pack", progress=False)
    assert LOAD[task](pack).hash == data.hash
    assert check_folder(pack) == check_folder(folder)


def test_ave_reads_the_labels_that_were_written(tmp_path):
    folder = write_features(tmp_path / "own", "ave", VIDEOS, seconds=6)
    lines = [
        f"{quoted(video)},0,1,Rain, heavy".replace("Rain, heavy", '"Rain, heavy"')
        for video in VIDEOS[3:9]
    ]
    lines += [f"{quoted(VIDEOS[0])},1.5,3,Bark", f"{quoted(VIDEOS[0])},4.6,5,Bark"]
    lines += [f"{quoted(VIDEOS[1])},5,6,Bark", f"{quoted(VIDEOS[2])},5,6,Bark"]
    label_folder(folder, write_csv(tmp_path / "labels.csv", lines))
    data = AVE(folder)
    assert data.categories == ("Bark", "Rain, heavy")
    labels = {
        name: split.labels[row]
        for split in data.splits.values()
        for row, name in enumerate(split.ids)
    }
    assert labels["-dash"].argmax(1).tolist() == [2, 0, 0, 2, 0, 2]
    assert labels["Rex & Minka #1"].argmax(1).tolist() == [2, 2, 2, 2, 2, 0]
    assert labels["a,b;c"].argmax(1).tolist() == [1, 2, 2, 2, 2, 2]
    quiet = set(VIDEOS) - set(VIDEOS[:9])
    assert all(labels[name].argmax(1).tolist() == [2] * 6 for name in quiet)
    mil = read_h5(folder / "labels/mil_labels.h5", "avadataset")
    assert mil.argmax(1).tolist() == [0] * 3 + [1] * 6 + [2] * 6 and mil.sum() == len(VIDEOS)
    rows = read_annotations(folder / "labels/Annotations.txt", data.categories, 6, VIDEOS)
    assert {row.category for row in rows[9:]} == {"background"}
    assert [row.id for row in rows] == VIDEOS
    assert [tuple(row[:4]) for row in rows[:2]] == [
        ("Bark", "-dash", 1, 5),
        ("Bark", "Rex & Minka #1", 5, 6),
    ]


def test_features_of_a_row_are_those_of_its_video(tmp_path):
    folder, _ = labelled(tmp_path)
    import h5py

    with h5py.File(folder / "audio_feature.h5") as file:
        audio = file["avadataset"][()]
    test = AVE(folder).test
    for row, name in enumerate(test.ids):
        assert np.array_equal(test.batch([row])["audio"][0], audio[VIDEOS.index(name)])


def test_llp_reads_the_labels_that_were_written(tmp_path):
    folder = write_features(tmp_path / "own", "llp", VIDEOS)
    lines = [f"{quoted(video)},0,2,Dog,both" for video in VIDEOS[:9]]
    lines += [f"{quoted(video)},1,4,Cat & bird,audio" for video in VIDEOS[5:12]]
    lines += [f"{quoted(VIDEOS[6])},7,9,Dog,visual", f"{quoted(VIDEOS[12])},0,1,Dog,visual"]
    label_folder(folder, write_csv(tmp_path / "labels.csv", lines, "llp"))
    data = LLP(folder)
    assert data.categories == ("Cat & bird", "Dog")
    assert set(data.train.arrays) == {"video_labels", "audio_labels", "visual_labels"}
    for split in data.splits.values():
        for row, name in enumerate(split.ids):
            at = VIDEOS.index(name)
            heard, seen = split.audio_labels[row], split.visual_labels[row]  # (T, C) each
            dog = [0, 1] if at < 9 else []
            assert np.flatnonzero(heard[:, 1]).tolist() == dog
            barks = {6: [0, 1, 7, 8], 12: [0]}.get(at, dog)  # these are seen alone
            assert np.flatnonzero(seen[:, 1]).tolist() == barks
            assert np.flatnonzero(heard[:, 0]).tolist() == ([1, 2, 3] if 5 <= at < 12 else [])
            assert not seen[:, 0].any()
            assert split.video_labels[row].tolist() == [5 <= at < 12, at < 9 or at == 12]
            batch = split.batch([row])
            found = np.load(folder / "res152" / f"{name}.npy")
            assert np.array_equal(batch["visual_2d"][0], found)


def test_events_that_are_only_heard_load_with_a_warning(tmp_path):
    folder = write_features(tmp_path / "own", "llp", VIDEOS)
    lines = [f"{quoted(video)},0,2,Dog,audio" for video in VIDEOS]
    label_folder(folder, write_csv(tmp_path / "labels.csv", lines, "llp"))
    warned = [issue for issue in check_folder(folder) if issue.level != "note"]
    assert {issue.level for issue in warned} == {"warning"}
    assert {issue.file for issue in warned} == {"AVVP_eval_visual.csv"}
    with pytest.warns(UserWarning, match="has no row"):
        assert not LLP(folder).test.visual_labels.any()


def test_clips_of_background_are_rows_of_the_splits_for_the_weak_setting_too(tmp_path):
    folder, _ = labelled(tmp_path)
    full, weak = AVE(folder), AVE(folder, weak=True)
    assert weak.weak and weak.train.ids.tolist() == full.train.ids.tolist()
    assert all(np.array_equal(weak.train[i]["audio"], full.train[i]["audio"]) for i in range(3))
    pack = pack_folder(folder, tmp_path / "pack", progress=False)
    assert len(AVE(pack, weak=True).train) == len(full.train)


def test_background_clips_beside_the_videos_get_labels(tmp_path):
    folder, lines = made(tmp_path)
    rng = np.random.default_rng(1)
    for file, shape in (("audio", (8,)), ("visual", (3, 3, 6))):
        write_h5(
            folder / f"{file}_feature_noisy.h5", rng.standard_normal((4, 10, *shape)).astype("f4")
        )
    label_folder(folder, write_csv(tmp_path / "labels.csv", lines))
    weak, full = AVE(folder, weak=True), AVE(folder)
    assert len(weak.train) == len(full.train) + 4
    assert weak.train.labels[-4:, :, -1].all()


def test_the_same_files_whatever_the_order_of_the_rows(tmp_path):
    folder, lines = made(tmp_path)
    label_folder(folder, write_csv(tmp_path / "labels.csv", lines))
    first = contents(folder / "labels")
    label_folder(folder, write_csv(tmp_path / "labels.csv", lines[::-1]), replace=True)
    assert contents(folder / "labels") == first
    label_folder(folder, tmp_path / "labels.csv", seed=1, replace=True)
    assert contents(folder / "labels")["train_order.h5"] != first["train_order.h5"]


def test_shares_of_the_splits(tmp_path):
    _, written = labelled(tmp_path, split=("0.4", "0.2", "0.4"))
    assert {name: len(some) for name, some in written.splits.items()} == {
        "train": 6,
        "val": 3,
        "test": 6,
    }


def test_the_table_may_choose_the_splits(tmp_path):
    folder, lines = made(tmp_path)
    table = write_csv(tmp_path / "labels.csv", lines)
    before = label_folder(folder, table).splits
    video = before["train"][0]
    at = VIDEOS.index(video)
    told = [f"{line},{'val' * (k == at)}" for k, line in enumerate(lines)]
    told = [f"{TITLES['ave']},split", *told]
    table.write_text("\n".join(told), encoding="utf-8")
    after = label_folder(folder, table, replace=True).splits
    assert video in after["val"] and AVE(folder).val.ids.tolist() == after["val"]


def test_lengths_of_the_videos_are_those_of_the_report(tmp_path):
    folder, lines = made(tmp_path)
    videos = [{"id": video, "length": 75.0, "notes": []} for video in VIDEOS]
    (folder / "report.json").write_text(json.dumps({"videos": videos}))
    written = label_folder(
        folder, write_csv(tmp_path / "labels.csv", [*lines, f"{quoted(VIDEOS[0])},60,61,Cat"])
    )
    assert any("after the 10 seconds" in issue.message for issue in written.findings)


def test_what_is_worth_knowing_is_told(tmp_path):
    folder, lines = made(tmp_path)
    lines[-1] = f"{quoted(VIDEOS[-1])},0,1,Bird"
    written = label_folder(folder, write_csv(tmp_path / "labels.csv", lines))
    assert [str(issue) for issue in written.findings] == [
        "warning: labels.csv: validation has 2 videos with an event: too few to select an epoch"
        " reliably; label more, or give a larger share (--split 0.6,0.2,0.2)",
        "warning: labels.csv: only 'clip 7' has 'Bird', and is needed for training: validation and"
        " test cannot measure it; label another video with it",
        "note: labels.csv: no line for 1 of 15 videos, which count as background throughout:"
        " clip 6",
    ]
    lines.append(f"{quoted('clip 6')},0,1,Bird")
    *_, note = label_folder(folder, write_csv(tmp_path / "l.csv", lines), replace=True).findings
    assert note.level == "note" and note.message.startswith("every video has an event: the recipes")


# ------------------------------------------------------------------------------ whole or not at all
def test_all_faults_are_one_message_and_nothing_is_written(tmp_path):
    folder, lines = made(tmp_path)
    before = contents(folder)
    csv = write_csv(tmp_path / "labels.csv", [*lines, "whale,0,3,Dog", "clip 1,5,3,Dog"])
    with pytest.raises(LabelFaults) as caught:
        label_folder(folder, csv)
    text = str(caught.value)
    assert text.startswith(f"{csv}: 2 faults, nothing was written: line 16: no video 'whale'")
    assert "; line 17: the offset 3 lies before the onset 5" in text and "\n" not in text
    assert [issue.level for issue in caught.value.findings] == ["error", "error"]
    assert contents(folder) == before


def test_labels_are_replaced_only_where_that_is_asked_for(tmp_path):
    folder, lines = made(tmp_path)
    csv = write_csv(tmp_path / "labels.csv", lines)
    label_folder(folder, csv)
    first = contents(folder)
    write_csv(csv, [line.replace("Cat", "Bird") for line in lines])
    with pytest.raises(AvbookError, match=r"has labels already \(labels/\); give --replace"):
        label_folder(folder, csv)
    assert contents(folder) == first
    label_folder(folder, csv, replace=True)
    assert AVE(folder).categories == ("Bird", "Dog")
    assert set(contents(folder)) == set(first)


@pytest.mark.parametrize("where", ["", "data/"])
def test_labels_from_elsewhere_are_not_mixed_with_these(tmp_path, where):
    folder, lines = made(tmp_path)
    csv = write_csv(tmp_path / "labels.csv", lines)
    (folder / where).mkdir(exist_ok=True)
    (folder / where / "categories.txt").write_text("Whale\n")
    (folder / where / "right_labels.h5").write_text("old")
    with pytest.raises(AvbookError, match=rf"\({where}right_labels.h5, {where}categories.txt\)"):
        label_folder(folder, csv)
    label_folder(folder, csv, replace=True)
    assert AVE(folder).categories == ("Cat", "Dog")
    assert not (folder / where / "right_labels.h5").exists()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_disk_that_fills_leaves_what_was_there(tmp_path, monkeypatch, replaced):
    folder, lines = made(tmp_path)
    csv = write_csv(tmp_path / "labels.csv", lines)
    if replaced:
        label_folder(folder, csv)
    before = contents(folder)
    calls = []

    def failing(path, *rest):
        calls.append(path)
        if len(calls) == 3:
            raise OSError(28, os.strerror(28), str(path))
        path.write_text("half")

    monkeypatch.setattr(labelling, "write_h5", failing)
    with pytest.raises(AvbookError, match="No space left on device; free some space"):
        label_folder(folder, csv, replace=replaced)
    assert contents(folder) == before and not list(folder.glob(".*"))


def test_labels_come_back_where_new_ones_cannot_take_their_place(tmp_path, monkeypatch):
    folder, lines = made(tmp_path)
    csv = write_csv(tmp_path / "labels.csv", lines)
    label_folder(folder, csv)
    before, replace = contents(folder), os.replace

    def failing(source, target):
        if str(source).endswith(".partial") and ".old." not in str(source):
            raise OSError(5, os.strerror(5), str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(AvbookError, match="Input/output error"):
        label_folder(folder, csv, replace=True, seed=1)
    assert contents(folder) == before


def test_what_a_killed_command_left_is_put_back(tmp_path):
    """Killed between two renames: the labels lie aside, the new ones have no name yet."""
    folder, lines = made(tmp_path)
    csv = write_csv(tmp_path / "labels.csv", lines)
    label_folder(folder, csv)
    before = contents(folder)
    os.rename(folder / "labels", folder / ".labels.old.partial")
    shutil.copytree(folder / ".labels.old.partial", folder / ".labels.12345678.partial")
    with pytest.raises(AvbookError, match="labels already"):  # they are there again
        label_folder(folder, csv)
    assert contents(folder) == before and not list(folder.glob(".*"))


def test_two_at_once(tmp_path):
    folder, lines = made(tmp_path)
    csv = write_csv(tmp_path / "labels.csv", lines)
    with lock(folder / ".labels.lock"):
        with pytest.raises(AvbookError, match="another process is writing labels there"):
            label_folder(folder, csv)


# ------------------------------------------------------------------------- folders that are no such
def spoil_json(folder, **values):
    told = json.loads((folder / "features.json").read_text()) | values
    (folder / "features.json").write_text(json.dumps(told))


SPOILT = {
    "no folder": (
        lambda f: shutil.rmtree(f),
        "no such folder; expected one that `avbook features`",
    ),
    "no features.json": (
        lambda f: (f / "features.json").unlink(),
        "has no features.json; expected a folder that `avbook features` wrote",
    ),
    "broken json": (
        lambda f: (f / "features.json").write_text("{"),
        "features.json: not a description of features",
    ),
    "another kind": (
        lambda f: spoil_json(f, kind="pack"),
        "features.json: says kind 'pack', task 'ave' and .*; expected kind 'features'",
    ),
    "later version": (
        lambda f: spoil_json(f, version=2),
        "features.json: features of version 2; this",
    ),
    "another task": (
        lambda f: spoil_json(f, task="x"),
        "features.json: says kind 'features', task 'x' and",
    ),
    "no seconds": (lambda f: spoil_json(f, seconds=0), "not a description of features .seconds is"),
    "other seconds": (
        lambda f: spoil_json(f, seconds=9),
        "audio_feature.h5: .15, 10, 8., but videos.txt names 15 videos and features.json says 9",
    ),
    "a pack": (lambda f: (f / "pack.json").write_text("{}"), "is a pack; label the folder that it"),
    "no videos.txt": (lambda f: (f / "videos.txt").unlink(), "has no videos.txt, the list of its"),
    "fewer names": (lambda f: (f / "videos.txt").write_text("a\n"), "videos.txt names 1 videos"),
    "a name twice": (
        lambda f: (f / "videos.txt").write_text("a\nb\na\n"),
        "videos.txt: line 3: 'a' is there already, in line 1; rename the video",
    ),
    "no features": (lambda f: (f / "audio_feature.h5").unlink(), "audio_feature.h5: no such file"),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_folders_that_cannot_be_labelled(tmp_path, fault):
    folder, lines = made(tmp_path)
    csv = write_csv(tmp_path / "labels.csv", lines)
    spoil, said = SPOILT[fault]
    spoil(folder)
    with pytest.raises(AvbookError, match=said):
        label_folder(folder, csv)
    assert not (folder / "labels").exists()


@pytest.mark.parametrize("name", ["", " a", "a\t", "a\x85b", "a/b", "a\\b", ".."])
def test_names_that_can_be_no_id(tmp_path, name):
    folder, lines = made(tmp_path)
    (folder / "videos.txt").write_text(f"one\n{name}\n", encoding="utf-8")
    with pytest.raises(AvbookError, match="videos.txt: line 2: .*rename the video and extract the"):
        label_folder(folder, write_csv(tmp_path / "labels.csv", lines))


def test_features_of_a_video_that_are_missing(tmp_path):
    folder, lines = made(tmp_path, "llp")
    csv = write_csv(tmp_path / "labels.csv", lines, "llp")
    (folder / "res152" / "clip.v2.npy").unlink()
    with pytest.raises(
        AvbookError, match="res152: 1 of 15 files are missing: clip.v2.npy; make the"
    ):
        label_folder(folder, csv)
    spoil_json(folder, seconds=9)
    np.save(folder / "res152" / "clip.v2.npy", np.ones((80, 12), "f4"))
    with pytest.raises(AvbookError, match=r"-dash.npy: .10, 8., but features.json says 9 seconds"):
        label_folder(folder, csv)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"like": "llp"}, "features for --like ave, found --like llp; leave it out, or make the"),
        ({"like": "both"}, "task 'both': unknown; expected 'ave' or 'llp'"),
        ({"split": (0.5, 0.5)}, "split 0.5,0.5: expected three shares above 0 with sum 1"),
        ({"seed": -1}, "seed -1: expected a whole number"),
    ],
)
def test_options_that_make_no_sense(tmp_path, options, said):
    with pytest.raises(AvbookError, match=said):
        labelled(tmp_path, **options)


def test_features_that_were_made_again_do_not_go_with_these_labels(tmp_path):
    folder, _ = labelled(tmp_path)
    (folder / "videos.txt").write_text("".join(f"{video}\n" for video in VIDEOS[::-1]))
    (error,) = (issue for issue in check_folder(folder) if issue.level == "error")
    assert error.file == "Annotations.txt" and "in the same order" in error.message
    with pytest.raises(AvbookError, match="`avbook label --replace` writes the labels again"):
        AVE(folder)


def test_names_of_any_form_pass_only_where_videos_txt_has_them(tmp_path):
    folder, _ = labelled(tmp_path, "llp")
    (folder / "videos.txt").unlink()
    with pytest.raises(AvbookError, match="is not a clip's name"):
        LLP(folder)


def test_a_list_names_no_video_that_videos_txt_has_not(tmp_path):
    folder, _ = labelled(tmp_path, "llp")
    with open(folder / "labels/AVVP_train.csv", "a") as file:
        file.write("whale\tDog\n")
    with pytest.raises(AvbookError, match="line 12: 'whale' is not a clip's name"):
        LLP(folder)


def test_what_own_videos_may_do_the_official_files_may_not(tmp_path):
    folder = write_ave(tmp_path / "official")[0]
    lines = (folder / "Annotations.txt").read_text().splitlines()
    own = lines[3].split("&")[1]
    lines[3] = f"background&{own}&good&0&0"
    (folder / "Annotations.txt").write_text("\n".join(lines))
    with pytest.raises(AvbookError, match="line 4: unknown category 'background'"):
        AVE(folder)


def test_labels_of_background_clips_without_their_features_are_not_none(tmp_path):
    folder = write_ave(tmp_path / "official")[0]
    for name in ("audio", "visual"):
        (folder / f"{name}_feature_noisy.h5").unlink()
    with pytest.raises(AvbookError, match="weak=True needs it"):
        AVE(folder, weak=True)
