"""Scripts of clips: their form, the sampler against the real counts, the real annotation files
second by second."""

import csv
import hashlib
import json
import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from avbook.data.events import AVE_CATEGORIES, LLP_CATEGORIES, runs
from avbook.data.statistics import (
    AVE_COUNTS,
    LLP_COUNTS,
    chain_counts,
    count_ave,
    count_llp,
    together,
)
from avbook.errors import AvbookError
from avbook.world.ave_scripts import around_event, tilted
from avbook.world.clips import (
    FIRST,
    SECOND,
    Clip,
    Source,
    ave_spans,
    ave_truth,
    clip_from_record,
    clip_record,
    llp_truth,
    read_scripts,
    sample_background,
    sample_scripts,
)
from avbook.world.draws import apportion
from avbook.world.llp_scripts import chain_pattern, llp_spans

NONE, ALL = np.zeros(10, bool), np.ones(10, bool)


@pytest.fixture(scope="module")
def sampled_ave():
    return sample_scripts("ave", 4143, seed=1)


@pytest.fixture(scope="module")
def sampled_llp():
    return sample_scripts("llp", 6000, seed=1, splits=(4000, 700, 1300))


@pytest.fixture(scope="module")
def real_ave(data_dir):
    return read_scripts("ave", data_dir / "ave")


@pytest.fixture(scope="module")
def real_llp(data_dir):
    return read_scripts("llp", data_dir / "llp")


# ---- form

masks = st.lists(st.booleans(), min_size=10, max_size=10).map(lambda bits: np.array(bits))
unit = st.floats(0, 1)
sources = st.builds(
    Source,
    st.sampled_from(LLP_CATEGORIES),
    masks,
    masks,
    unit,
    st.floats(0.1, 10),
    unit,
    unit,
    unit,
    unit,
    st.integers(0, 2**31 - 1),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(sources, max_size=4),
    st.from_regex(r"[A-Za-z0-9_-]{11}", fullmatch=True),
    st.floats(-0.3, 0.3),
    st.sampled_from(["train", "val", "test"]),
)
def test_a_clip_survives_its_record(some, id, lead, split):
    clip = Clip(id, tuple(some), 7, lead, 3.25, 0.5, split)
    record = clip_record(clip)
    again = clip_from_record(json.loads(json.dumps(record)))
    assert clip_record(again) == record
    for one, other in zip(clip.sources, again.sources):
        assert (
            (one.heard == other.heard).all() and (one.seen == other.seen).all() and one.x == other.x
        )
    audio, visual = llp_truth([again])
    assert audio.shape == visual.shape == (1, 10, 25) and audio.sum() <= sum(
        s.heard.sum() for s in some
    )


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: Source("Cat", [1, 0], [1, 0, 0]), "heard has 2 seconds and seen has 3"),
        (lambda: Source("Cat", [0, 2], [0, 1]), "one true or false per second"),
        (lambda: Source("Cat", np.ones((2, 5)), ALL), "shape (2, 5)"),
        (lambda: Source("Cat", ALL, ALL, size=1.5), "size is 1.5"),
        (lambda: Source("Cat", ALL, ALL, tempo=float("nan")), "tempo is nan"),
        (lambda: Clip("short", ()), "11 characters"),
        (lambda: Clip("../../secret", ()), "11 characters"),
        (lambda: Clip("a" * 11, (Source("Cat", [1] * 5, [1] * 5),)), "has 5 seconds, the clip 10"),
        (lambda: Clip("a" * 11, (), split="dev"), "split is 'dev'"),
        (lambda: Clip("a" * 11, (), lead=4.0), "lead is 4.0"),
        (lambda: clip_from_record({"id": "a" * 11}), "expected the fields"),
        (lambda: sample_scripts("avi", 10), "expected 'ave' or 'llp'"),
        (lambda: sample_scripts("ave", 10, splits=(1, 1, 1)), "expected 10 clips"),
        (lambda: read_scripts("esc", "."), "expected 'ave' or 'llp'"),
        (
            lambda: ave_truth([Clip("a" * 11, (Source("Cat", ALL, ALL), Source("Bus", ALL, ALL)))]),
            "at most one",
        ),
        (lambda: ave_truth([Clip("a" * 11, (Source("Cat", [1, 0] * 5, ALL),))]), "at most one"),
        (lambda: llp_truth([Clip("a" * 11, (Source("Unicorn", ALL, ALL),))]), "Unicorn"),
    ],
)
def test_bad_parts_are_refused_in_one_line(make, says):
    with pytest.raises(AvbookError) as error:
        make()
    assert says in str(error.value) and "\n" not in str(error.value)


def test_masks_cannot_be_changed_behind_a_clips_back():
    mine = ALL.copy()
    source = Source("Cat", mine, NONE)
    mine[:] = False
    assert source.heard.all()
    with pytest.raises(ValueError):
        source.heard[0] = False


def test_labels_of_both_data_sets_by_hand():
    dog, radio = (
        Source(name, heard, seen)
        for name, heard, seen in (
            ("Bark", [0, 0, 1, 1, 0], [0, 1, 1, 1, 1]),
            ("Accordion", [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]),
        )
    )
    clip = Clip("dog-in-yard", (dog, radio), seconds=5)
    assert ave_truth([clip])[0].argmax(-1).tolist() == [28, 28, 2, 2, 28]
    assert clip.labels == ("Bark", "Accordion") and clip.file_name == "dog-in-yard_0_5"
    dog = Source("Dog", dog.heard, dog.seen)
    audio, visual = llp_truth([Clip("dog-in-yard", (dog, radio), seconds=5)])
    classes = [LLP_CATEGORIES.index(name) for name in ("Dog", "Accordion")]
    assert audio[0][:, classes].T.tolist() == [[0, 0, 1, 1, 0], [1] * 5]
    assert visual[0][:, classes].T.tolist() == [[0, 1, 1, 1, 1], [0] * 5]
    assert audio.sum() == 7 and visual.sum() == 4


# ---- the sampler


def stored(clips):
    """One hash of what is drawn for clips: classes, seconds, splits and seeds."""
    found = hashlib.sha256()
    for record in map(clip_record, clips):
        parts = [record[key] for key in ("id", "split", "seed", "labels")]
        for source in record["sources"]:
            parts += [source[key] for key in ("category", "heard", "seen", "seed")]
        found.update(json.dumps(parts).encode())
    return found.hexdigest()[:12]


@pytest.mark.parametrize(
    "task, levers, expected",
    [
        ("ave", FIRST, "a4b4f219b5c3"),
        ("ave", None, "245cb1e64437"),
        ("llp", None, "4d2f219ee275"),
    ],
)
def test_scripts_are_drawn_in_the_stored_order(task, levers, expected):
    """Where this turns red, all worlds change: see test_build.py."""
    assert stored(sample_scripts(task, 300, 3, levers=levers)) == expected


def test_background_is_drawn_in_the_stored_order():
    assert stored(sample_background(100, 3)) == "fd42cfc9556d"


def test_levers_stay_those_of_the_two_versions():
    assert FIRST.decoys == FIRST.intruders == 0.35 and FIRST.quality is None
    assert (SECOND["ave"].decoys, SECOND["ave"].intruders) == (0.2, 0.1)
    assert SECOND["llp"].quality is None


def test_clips_are_apportioned_by_hand():
    assert apportion(10, [5, 3, 3]).tolist() == [4, 3, 3]
    assert apportion(4, [97, 1, 1, 1]).tolist() == [4, 0, 0, 0]
    assert apportion(4, [97, 1, 1, 1], least=1).tolist() == [1, 1, 1, 1]
    assert apportion(3, [97, 1, 1, 1], least=1).tolist() == [3, 0, 0, 0]  # no room for one each
    for split, n in (("train", 3339), ("val", 402), ("test", 402)):
        counts = AVE_COUNTS[f"videos_{split}"]
        assert apportion(n, counts, least=split == "train").tolist() == counts
    assert apportion(40, AVE_COUNTS["videos_train"], least=1).min() == 1


@given(st.integers(0, 500), st.lists(st.integers(1, 99), min_size=1, max_size=30))
def test_apportioned_numbers_add_up_and_are_near_their_shares(total, weights):
    found = apportion(total, weights)
    assert found.sum() == total and found.min() >= 0
    assert np.abs(found - total * np.array(weights) / sum(weights)).max() < 1 + 1e-9


@pytest.mark.parametrize("mean", [2.5, 4, 6, 8])
def test_a_tilted_table_has_the_mean_and_the_proportions_of_each_length(mean):
    joint = np.array(AVE_COUNTS["joint"], float)
    length = np.arange(11)[None] - np.arange(11)[:, None]
    table = tilted(joint, mean)
    assert np.isclose(table.sum(), 1) and np.isclose((table * length).sum(), mean)
    for k in range(1, 11):
        before, after = joint[length == k], table[length == k]
        assert np.allclose(after * before.sum(), before * after.sum())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 9), st.integers(1, 10))
def test_around_an_event_a_source_is_heard_or_seen_and_changes_once(seed, onset, length):
    event = (np.arange(10) >= onset) & (np.arange(10) < onset + length)
    heard, seen = around_event(np.random.default_rng(seed), event, FIRST)
    assert np.array_equal(heard & seen, event)
    for start, stop in runs(~event):
        kinds = heard[start:stop] + 2 * seen[start:stop].astype(int)
        assert np.count_nonzero(np.diff(kinds)) <= 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 24))
def test_seconds_of_a_label_are_heard_or_seen(seed, c):
    heard, seen = llp_spans(np.random.default_rng(seed), c)
    assert (heard | seen).any() and ((heard & seen).any() or not (heard.any() and seen.any()))
    for key in ("audio_chain", "visual_chain"):
        part = chain_pattern(np.random.default_rng(seed), key, c)
        assert part.any() and not part.all()


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.integers(28, 120))
def test_ave_clips_keep_the_rules(seed, n):
    clips = sample_scripts("ave", n, seed)
    assert len(clips) == n and len({clip.id for clip in clips}) == n
    first = list(dict.fromkeys(clip.labels[0] for clip in clips))
    assert first == [
        name for name in AVE_CATEGORIES if name in first
    ]  # class index = first appearance, as in Annotations.txt
    for clip in clips:
        names = [source.category for source in clip.sources]
        assert len(set(names)) == len(names) and clip.labels == (names[0],)
        assert len(runs(clip.sources[0].event)) == 1  # one event, without gaps
        for other in clip.sources[1:]:
            assert not (other.heard.any() and other.seen.any()) and (
                other.heard.any() or other.seen.any()
            )
        assert abs(clip.lead) <= 0.3


def test_background_clips_hold_no_event():
    clips = sample_background(178, 3)
    assert ave_truth(clips)[..., -1].all() and not any(clip.labels for clip in clips)
    for clip in clips:  # of one class, both would be an event to a viewer
        assert len({source.category for source in clip.sources}) == len(clip.sources) <= 2
    assert any(source.heard.any() for clip in clips for source in clip.sources) and any(
        source.seen.any() for clip in clips for source in clip.sources
    )


def test_same_seed_same_scripts_and_another_seed_others():
    record = lambda seed: [
        clip_record(clip) for task in ("ave", "llp") for clip in sample_scripts(task, 60, seed)
    ]
    assert record(5) == record(5) != record(6)


def test_what_is_before_does_not_depend_on_how_many_follow():
    few, many = (sample_scripts("llp", n, 2, splits=(n, 0, 0)) for n in (5, 50))
    assert [clip_record(clip) for clip in few] == [clip_record(clip) for clip in many[:5]]


@pytest.mark.parametrize("task", ["ave", "llp"])
@pytest.mark.parametrize("splits", [(40, 0, 0), (0, 40, 0), (0, 1, 39), (28, 12, 0), (0, 0, 0)])
def test_a_split_may_be_empty(task, splits):
    clips = sample_scripts(task, sum(splits), 0, splits)
    found = [sum(clip.split == split for clip in clips) for split in ("train", "val", "test")]
    assert tuple(found) == splits


@pytest.mark.parametrize(
    "values, says",
    [
        ({"n": -1}, "n=-1: expected a whole number"),
        ({"n": 4.0}, "n=4.0: expected a whole number"),
        ({"n": "4"}, "n='4': expected a whole number"),
        ({"seed": -1}, "seed=-1: expected a whole number"),
        ({"seed": None}, "seed=None: expected a whole number"),
        ({"splits": (5, 0, -1)}, "test=-1: expected a whole number"),
        ({"splits": (4.0, 0, 0)}, "train=4.0: expected a whole number"),
        ({"splits": (4, 1, 0)}, "add up to 5; expected 4 clips"),
        ({"splits": (4, 0)}, "expected three numbers, of train, val, test"),
        ({"splits": 4}, "expected three numbers"),
    ],
)
def test_numbers_of_clips_that_make_no_sense(values, says):
    with pytest.raises(AvbookError) as error:
        sample_scripts(**{"task": "ave", "n": 4, "splits": None} | values)
    assert says in str(error.value)
    if "splits" not in values:
        with pytest.raises(AvbookError, match="expected a whole number"):
            sample_background(**{"n": 4} | values)


@pytest.mark.parametrize(
    "change",
    [
        {"sources": 5},
        {"sources": [5]},
        {"sources": [{}]},
        {"labels": None},
        {"seconds": "10"},
        {"lead": "x"},
        {"nothing": 1},
        {"sources": [{"category": "Dog", "heard": "01x", "seen": "010"}]},
        {"sources": [{"category": "Dog", "heard": "012", "seen": "010"}]},
    ],
)
def test_a_record_that_is_none_is_one_line(change):
    record = clip_record(sample_background(1)[0])
    with pytest.raises(AvbookError) as error:
        clip_from_record(record | change)
    assert "\n" not in str(error.value)
    with pytest.raises(AvbookError, match="record of clip '\\?'"):
        clip_from_record([record])


def test_ave_sampler_follows_the_real_counts(sampled_ave):
    counts = count_ave(sampled_ave, AVE_CATEGORIES)
    assert counts["videos"] == AVE_COUNTS["videos"]
    for split in ("train", "val", "test"):
        assert (
            count_ave([clip for clip in sampled_ave if clip.split == split], AVE_CATEGORIES)[
                "videos"
            ]
            == AVE_COUNTS[f"videos_{split}"]
        )
    share = lambda table: np.array(table) / np.sum(table)
    assert abs(np.sum(counts["full"]) - np.sum(AVE_COUNTS["full"])) / 4143 < 0.02
    assert (
        np.abs(share(counts["joint"]) - share(AVE_COUNTS["joint"])).sum() < 0.15
    )  # total variation under 7.5 %
    assert np.abs(share(counts["joint"]).sum(0) - share(AVE_COUNTS["joint"]).sum(0)).max() < 0.02
    mean = lambda table: np.array(table["seconds"]) / table["videos"]
    assert (
        np.abs(mean(counts) - mean(AVE_COUNTS)).max() < 1.0
        and np.corrcoef(mean(counts), mean(AVE_COUNTS))[0, 1] > 0.97
    )


def test_spans_of_each_class_have_its_mean_length():
    length = np.arange(11)[None] - np.arange(11)[:, None]
    for c in range(28):
        table = ave_spans(c)
        assert table.min() >= 0 and np.isclose(table.sum(), 1) and table[length <= 0].sum() == 0
        assert np.isclose(
            (table * length).sum(), AVE_COUNTS["seconds"][c] / AVE_COUNTS["videos"][c], atol=0.02
        )


def test_llp_sampler_follows_the_real_counts(sampled_llp):
    for group, splits in (("train", ("train",)), ("judged", ("val", "test"))):
        clips = [clip for clip in sampled_llp if clip.split in splits]
        ours, real = (
            together(count_llp(clips, LLP_CATEGORIES)["labels"], 25),
            together(LLP_COUNTS[f"labels_{group}"], 25),
        )
        n = sum(row[0] for row in LLP_COUNTS[f"labels_{group}"])
        assert np.abs(ours / len(clips) - real / n).max() < 0.03
        assert np.corrcoef(ours.ravel(), real.ravel())[0, 1] > 0.99
    counts = count_llp(sampled_llp, LLP_CATEGORIES)
    share = lambda table, axis=0: np.sum(table, axis) / np.sum(table)
    for key in ("modality", "both", "filled"):
        assert np.abs(share(counts[key]) - share(LLP_COUNTS[key])).max() < 0.03, key
    per_class = lambda table: np.array(table["modality"])[:, 2] / np.sum(table["modality"], 1)
    assert np.abs(per_class(counts) - per_class(LLP_COUNTS)).mean() < 0.06
    for key in ("audio_chain", "visual_chain"):
        assert np.abs(share(counts[key]) - share(LLP_COUNTS[key])).max() < 0.05, key


def test_llp_sampled_lengths_match_the_real_ones(sampled_llp, data_dir):
    stats = json.loads((data_dir / "llp" / "stats_llp.json").read_text())["eval"]["val+test"]
    judged = [clip for clip in sampled_llp if clip.split != "train"]
    for what, key in (("heard", "audio"), ("seen", "visual")):
        lengths = [
            stop - start
            for clip in judged
            for source in clip.sources
            for start, stop in runs(getattr(source, what))
        ]
        ours = np.bincount(lengths, minlength=11) / len(lengths)
        real = np.array(stats[key]["duration_hist_0..10"]) / np.sum(
            stats[key]["duration_hist_0..10"]
        )
        assert np.abs(ours - real).max() < 0.05 and np.abs(ours - real).sum() < 0.2
        assert abs(len(lengths) / len(judged) - stats["events_per_video_mean"][key]) < 0.15


# ---- the real files


def test_the_embedded_counts_are_those_of_the_files(real_ave, real_llp):
    counted = count_ave(real_ave, AVE_CATEGORIES)
    assert all(counted[key] == AVE_COUNTS[key] for key in counted)
    for group, splits in (("train", ("train",)), ("judged", ("val", "test"))):
        counted = count_llp([clip for clip in real_llp if clip.split in splits], LLP_CATEGORIES)
        assert counted["labels"] == LLP_COUNTS[f"labels_{group}"]
    assert all(counted[key] == LLP_COUNTS[key] for key in counted if key != "labels")


def test_the_embedded_counts_agree_with_the_published_statistics(data_dir):
    ave, llp = (
        json.loads((data_dir / task / f"stats_{task}.json").read_text()) for task in ("ave", "llp")
    )
    assert (
        ave["start_end_joint_11x11"] == AVE_COUNTS["joint"]
        and tuple(ave["classes"]) == AVE_CATEGORIES
    )
    assert all(
        ave[split]["videos_per_class"] == AVE_COUNTS[f"videos_{split}"]
        for split in ("train", "val", "test")
    )
    dense, modality = llp["eval"]["val+test"], np.array(LLP_COUNTS["modality"])
    assert (
        together(LLP_COUNTS["labels_train"], 25).tolist()
        == llp["weak"]["train"]["cooccurrence_25x25"]
    )
    for column, key in enumerate(("audio_only", "visual_only", "both")):
        assert modality[:, column].tolist() == dense[f"pairs_per_class_{key}"]


def test_all_real_ave_clips_second_by_second(real_ave, data_dir):
    rebuilt = np.load(data_dir / "ave" / "ave_labels_rebuilt.npz")["labels"]
    assert len(real_ave) == 4143 and np.array_equal(ave_truth(real_ave), rebuilt)
    with h5py.File(data_dir / "ave" / "mil_labels.h5") as file:
        mil = file["avadataset"][:]
    assert all(clip.labels == (AVE_CATEGORIES[row.argmax()],) for clip, row in zip(real_ave, mil))
    for split, n in (("train", 3339), ("val", 402), ("test", 402)):
        with h5py.File(data_dir / "ave" / f"{split}_order.h5") as file:
            assert {i for i, clip in enumerate(real_ave) if clip.split == split} == set(
                file["order"][:].ravel().tolist()
            ) and len(file["order"]) == n
    assert len({clip.id for clip in real_ave}) == 4097
    empty = [clip for clip in real_ave if not clip.sources[0].event.any()]
    assert len(empty) == 1 and empty[0].labels == ("Church bell",)


def test_real_llp_truth_is_the_released_one(real_llp, golden_dir):
    golden = np.load(golden_dir / "llp_metrics_val.npz")
    val = [clip for clip in real_llp if clip.split == "val"]
    assert [clip.file_name for clip in val] == golden["filenames"].tolist()
    n = int(np.prod(golden["shape"]))
    for truth, key in zip(llp_truth(val), ("GT_a_packed", "GT_v_packed")):
        released = np.unpackbits(golden[key])[:n].reshape(golden["shape"]).transpose(0, 2, 1)
        assert np.array_equal(truth, released)


def test_real_llp_spans_and_labels_of_val_and_test(real_llp, data_dir):
    judged = {clip.file_name: clip for clip in real_llp if clip.split != "train"}
    truth = dict(zip(judged, zip(*llp_truth(list(judged.values())))))
    for which, file in enumerate(("AVVP_eval_audio.csv", "AVVP_eval_visual.csv")):
        expected = {name: np.zeros((10, 25), np.float32) for name in judged}
        with open(data_dir / "llp" / file, newline="") as rows:
            for row in csv.DictReader(rows, delimiter="\t"):
                if row["filename"] in expected:
                    for second in range(int(row["onset"]), int(row["offset"])):
                        expected[row["filename"]][
                            second, LLP_CATEGORIES.index(row["event_labels"])
                        ] = 1
        assert all(np.array_equal(truth[name][which], expected[name]) for name in judged)
    differing = [
        clip
        for clip in judged.values()
        if set(clip.labels) != {source.category for source in clip.sources}
    ]
    assert (
        len(differing) == 1849 - 1765
    )  # videos whose weak labels are not the union of their spans


def test_real_llp_training_labels_and_drawn_spans(real_llp):
    train = [clip for clip in real_llp if clip.split == "train"]
    assert len(train) == 10000 and max(len(clip.labels) for clip in train) == 3
    for clip in train:
        assert tuple(source.category for source in clip.sources) == clip.labels
        assert all((source.heard | source.seen).any() for source in clip.sources)
    assert any("." in clip.file_name for clip in train)  # fractional starts stay as they are
    share = np.mean(
        [(source.heard & source.seen).any() for clip in train for source in clip.sources]
    )
    assert 0.5 < share < 0.8


# ---- files that are not right


def ave_files(folder, rows, orders=None):
    folder.mkdir(exist_ok=True)
    (folder / "Annotations.txt").write_text("\n".join(rows) + "\n")
    orders = orders or (list(range(len(rows))), [], [])
    for split, order in zip(("train", "val", "test"), orders):
        with h5py.File(folder / f"{split}_order.h5", "w") as file:
            file["order"] = np.array(order, int)[:, None]
    return folder


GOOD = ["Bark&aaaaaaaaaaa&good&0&10", "Cat&bbbbbbbbbbb&good&2&5", "Cat&bbbbbbbbbbb&good&0&0"]


def test_small_ave_files_are_read(tmp_path):
    clips = read_scripts("ave", ave_files(tmp_path, GOOD, ([2, 0], [1], [])))
    assert [clip.split for clip in clips] == ["train", "val", "train"]
    assert ave_truth(clips).argmax(-1).tolist() == [
        [2] * 10,
        [28] * 2 + [22] * 3 + [28] * 5,
        [28] * 10,
    ]


@pytest.mark.parametrize(
    "rows, orders, says",
    [
        (
            [*GOOD, "Cat&bbbbbbbbbbb&good&7&5"],
            None,
            "line 4: the event ends at 5, before it starts at 7",
        ),
        ([*GOOD, "Cat&bbbbbbbbbbb&good&7&11"], None, "line 4: found '11'"),
        ([*GOOD, "Cat&bbbbbbbbbbb&good&x&5"], None, "line 4: found 'x'"),
        ([*GOOD, "Unicorn&bbbbbbbbbbb&good&1&5"], None, "Unicorn"),
        ([*GOOD, "Cat bbbbbbbbbbb"], None, "line 4"),
        ([*GOOD, "Cat&../bbbbbbbb/../x&good&1&5"], None, "11 characters"),
        (GOOD, ([0, 1], [1], [2]), "each of the 3 rows"),
        (GOOD, ([0, 7], [1], []), "up to 7"),
        (GOOD, ([0], [1], []), "each of the 3 rows"),
    ],
)
def test_bad_ave_files(tmp_path, rows, orders, says):
    with pytest.raises(AvbookError) as error:
        read_scripts("ave", ave_files(tmp_path, rows, orders))
    assert says in str(error.value) and "\n" not in str(error.value)


def test_missing_and_broken_ave_files(tmp_path):
    ave_files(tmp_path / "a", GOOD)
    (tmp_path / "a" / "val_order.h5").unlink()
    (tmp_path / "a" / "test_order.h5").unlink()
    with pytest.raises(AvbookError, match="missing val_order.h5, test_order.h5"):
        read_scripts("ave", tmp_path / "a")
    ave_files(tmp_path / "b", GOOD)
    (tmp_path / "b" / "val_order.h5").write_bytes(b"not hdf5")
    with pytest.raises(AvbookError, match="val_order.h5"):
        read_scripts("ave", tmp_path / "b")
    (tmp_path / "b" / "Annotations.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AvbookError, match="UTF-8"):
        read_scripts("ave", tmp_path / "b")


LLP = {
    "AVVP_train.csv": ["filename\tevent_labels", "aaaaaaaaaaa_0_10\tSpeech,Dog"],
    "AVVP_val_pd.csv": ["filename\tevent_labels", "bbbbbbbbbbb_0_10\tClapping,Clapping"],
    "AVVP_test_pd.csv": ["filename\tevent_labels", "ccccccccccc_5_15\tCar"],
    "AVVP_eval_audio.csv": [
        "filename\tonset\toffset\tevent_labels",
        "bbbbbbbbbbb_0_10\t2\t4\tClapping",
        "bbbbbbbbbbb_0_10\t9\t0\tCat",
        "typo\t0\t3\tCat",
    ],
    "AVVP_eval_visual.csv": [
        "filename\tonset\toffset\tevent_labels",
        "ccccccccccc_5_15\t0\t10\tDog",
    ],
}


def llp_files(folder, **changed):
    for name, lines in LLP.items():
        lines = [*lines, *changed.get(name.removesuffix(".csv"), [])]
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def test_small_llp_files_with_the_real_ones_traps(tmp_path):
    train, val, test = read_scripts("llp", llp_files(tmp_path))
    assert train.labels == ("Speech", "Dog") and [source.category for source in train.sources] == [
        "Speech",
        "Dog",
    ]
    assert (
        val.labels == ("Clapping",)
        and len(val.sources) == 1
        and val.sources[0].heard.nonzero()[0].tolist() == [2, 3]
    )
    assert (
        test.labels == ("Car",)
        and [source.category for source in test.sources] == ["Dog"]
        and test.sources[0].seen.all()
    )
    assert test.file_name == "ccccccccccc_5_15" and test.id == "ccccccccccc"


@pytest.mark.parametrize(
    "name, line, says",
    [
        ("AVVP_train", "ddddddddddd_0_10\tDragon", "Dragon"),
        ("AVVP_train", "aaaaaaaaaaa_0_10\tCar", "second time"),
        ("AVVP_val_pd", "only one field", "1 fields"),
        ("AVVP_train", "../../../ee_0_10\tCar", "11 characters"),
        ("AVVP_eval_audio", "bbbbbbbbbbb_0_10\t0\t11\tCat", "found '11'"),
        ("AVVP_eval_visual", "bbbbbbbbbbb_0_10\t-1\t5\tCat", "found '-1'"),
        ("AVVP_eval_visual", "bbbbbbbbbbb_0_10\t1\t5\tDragon", "Dragon"),
    ],
)
def test_bad_llp_files(tmp_path, name, line, says):
    with pytest.raises(AvbookError) as error:
        read_scripts("llp", llp_files(tmp_path, **{name: [line]}))
    assert says in str(error.value) and "\n" not in str(error.value)


def test_missing_llp_files_are_all_named(tmp_path):
    llp_files(tmp_path)
    (tmp_path / "AVVP_val_pd.csv").unlink()
    (tmp_path / "AVVP_eval_visual.csv").unlink()
    with pytest.raises(AvbookError, match="AVVP_val_pd.csv, AVVP_eval_visual.csv"):
        read_scripts("llp", tmp_path)
    shutil.copy(tmp_path / "AVVP_train.csv", tmp_path / "AVVP_eval_visual.csv")
    shutil.copy(tmp_path / "AVVP_train.csv", tmp_path / "AVVP_val_pd.csv")
    with pytest.raises(AvbookError, match="expected the columns"):
        read_scripts("llp", tmp_path)


def test_chain_counts_by_hand():
    assert chain_counts(np.array([[1, 1, 0, 0, 1], [0, 0, 0, 1, 1]], bool)) == [1, 1, 2, 1, 2, 3]
    assert chain_counts([]) == [0] * 6
