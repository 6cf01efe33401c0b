"""The ten scores of LLP against the released evaluation, against slow loops written from the
definition, and against bad input."""

import csv
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from avbook.data.events import Event, llp_labels, runs
from avbook.errors import AvbookError
from avbook.metrics import llp
from avbook.metrics.llp import filtered, llp_per_class, llp_per_video, llp_predictions, llp_scores

KEYS = [
    "segment_audio",
    "segment_visual",
    "segment_av",
    "segment_type",
    "segment_event",
    "event_audio",
    "event_visual",
    "event_av",
    "event_type",
    "event_event",
]


# ---- the released evaluation


@pytest.fixture(scope="module")
def golden(golden_dir):
    return np.load(golden_dir / "llp_metrics_val.npz")


def unpacked(golden, name):
    shape = tuple(golden["shape"])
    return np.unpackbits(golden[name])[: np.prod(shape)].reshape(shape)  # (N, C, T)


@pytest.mark.parametrize("kind, by", [("han", "video"), ("ma", "modality")])
def test_both_filters_give_the_released_predictions(golden, kind, by):
    frame = golden["frame_prob_x256"] / 256  # (N, T, 2, C)
    outputs = {
        "segment_audio": frame[:, :, 0],
        "segment_visual": frame[:, :, 1],
        "video": golden["global_prob_x256"] / 256,
        "video_audio": golden["a_prob_x256"] / 256,
        "video_visual": golden["v_prob_x256"] / 256,
    }
    for module in (
        np.asarray,
        torch.from_numpy,
        lambda array: torch.from_numpy(array).bfloat16(),
    ):  # n/256 is exact in all three
        audio, visual = filtered({name: module(value) for name, value in outputs.items()}, by=by)
        assert np.array_equal(audio.swapaxes(1, 2), unpacked(golden, f"{kind}/SO_a_packed"))
        assert np.array_equal(visual.swapaxes(1, 2), unpacked(golden, f"{kind}/SO_v_packed"))
    other = filtered(outputs, by={"video": "modality", "modality": "video"}[by])
    assert not np.array_equal(other[0].swapaxes(1, 2), unpacked(golden, f"{kind}/SO_a_packed"))


@pytest.mark.parametrize("kind", ["han", "ma"])
def test_equal_to_the_released_scores_per_video_and_aggregate(golden, kind):
    four = [
        unpacked(golden, name)
        for name in (f"{kind}/SO_a_packed", f"{kind}/SO_v_packed", "GT_a_packed", "GT_v_packed")
    ]
    video = llp_per_video(*four, layout="NCT")
    for level in ("segment", "event"):
        released = golden[
            f"{kind}/per_video_{level[:3] if level == 'segment' else level}_a_v_all_av"
        ]  # (N, 4)
        for column, name in enumerate(("audio", "visual", "event", "av")):
            assert np.abs(video[f"{level}_{name}"] / 100 - released[:, column]).max() < 1e-9, (
                level,
                name,
            )
    scores = llp_scores(*four, layout="NCT")
    assert list(scores) == KEYS
    assert (
        np.abs(
            np.array(list(scores.values()))
            - golden[f"{kind}/agg_seg[a,v,av,type,event]_event[a,v,av,type,event]"]
        ).max()
        < 1e-9
    )
    assert abs(scores["segment_type"] - float(golden[f"{kind}/eval_return"])) < 1e-9
    swapped = llp_scores(*(torch.from_numpy(mask.swapaxes(1, 2).copy()) for mask in four))
    assert swapped == scores


ORDER = [
    "segment_audio",
    "segment_visual",
    "segment_event",
    "segment_av",
    "event_audio",
    "event_visual",
    "event_event",
    "event_av",
]


@pytest.mark.parametrize("case", ["zeros", "ones", "gt", "bern"])
def test_equal_to_the_released_scores_on_edge_cases(golden, case):
    truth = [unpacked(golden, name) for name in ("GT_a_packed", "GT_v_packed")]
    predicted = {
        "zeros": [np.zeros_like(mask) for mask in truth],
        "ones": [np.ones_like(mask) for mask in truth],
        "gt": truth,
        "bern": [unpacked(golden, "edge/bern_SA_packed"), unpacked(golden, "edge/bern_SV_packed")],
    }[case]
    scores = llp_scores(*predicted, *truth, layout="NCT")
    released = golden[f"edge/{case}_mean_seg(a,v,all,av)_event(a,v,all,av)"]
    assert np.abs(np.array([scores[name] for name in ORDER]) / 100 - released).max() < 1e-9
    if case == "bern":
        video = llp_per_video(*predicted, *truth, layout="NCT")
        assert (
            np.abs(
                np.stack([video[name] for name in ORDER], 1) / 100 - golden["edge/bern_per_video"]
            ).max()
            < 1e-9
        )


# ---- the real annotations


def test_predicting_nothing_on_the_real_test_split(data_dir):
    def rows(name):
        with open(data_dir / "llp" / name, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file, delimiter="\t"))

    index = {row["filename"]: i for i, row in enumerate(rows("AVVP_test_pd.csv"))}
    truth = {}
    for side in ("audio", "visual"):
        truth[side] = np.zeros((len(index), 10, 25))
        for row in rows(f"AVVP_eval_{side}.csv"):
            onset, offset = (int(float(row[name])) for name in ("onset", "offset"))
            if row["filename"] in index and onset < offset:
                truth[side][index[row["filename"]]] = np.maximum(
                    truth[side][index[row["filename"]]],
                    llp_labels([Event(row["event_labels"], onset, offset)]),
                )
    nothing = np.zeros_like(truth["audio"])
    scores = llp_scores(nothing, nothing, truth["audio"], truth["visual"])
    assert len(index) == 1200
    assert round(scores["segment_visual"], 1) == 10.1 and round(scores["segment_av"], 1) == 14.5
    assert scores["segment_visual"] == scores["event_visual"]


# ---- definitions, written out slowly


def slow_counts(level, predicted, true):
    """(TP, FN, FP) of one class in one video, straight from the definition."""
    if level == "segment":
        return (
            sum(p and t for p, t in zip(predicted, true)),
            sum(t and not p for p, t in zip(predicted, true)),
            sum(p and not t for p, t in zip(predicted, true)),
        )

    def close(one, other):
        union = set(range(*one)) | set(range(*other))
        return len(set(range(*one)) & set(range(*other))) / len(union) >= 0.5

    called, real = runs(predicted), runs(true)
    hits = sum(any(close(p, t) for t in real) for p in called)
    return hits, sum(not any(close(p, t) for p in called) for t in real), len(called) - hits


def slow_video(level, pairs):
    """The F of one video: counts of the given (predicted, true) pairs added, then F1, then the mean
    over classes."""
    values = []
    for c in range(pairs[0][0].shape[1]):
        tp, fn, fp = np.sum([slow_counts(level, p[:, c], t[:, c]) for p, t in pairs], axis=0)
        if tp + fn + fp:
            values.append(2 * tp / (2 * tp + fn + fp))
    return np.mean(values) if values else 1.0


def slow_scores(pa, pv, ta, tv):
    rows = {key: [] for key in KEYS}
    for a, v, g, h in zip(pa, pv, ta, tv):
        for level in ("segment", "event"):
            three = (
                slow_video(level, [(a, g)]),
                slow_video(level, [(v, h)]),
                slow_video(level, [(a * v, g * h)]),
            )
            for name, value in zip(("audio", "visual", "av", "type"), (*three, np.mean(three))):
                rows[f"{level}_{name}"].append(value)
            rows[f"{level}_event"].append(slow_video(level, [(a, g), (v, h)]))
    return {key: 100 * np.mean(values) for key, values in rows.items()}


shapes = st.tuples(st.just(4), st.integers(1, 4), st.integers(1, 12), st.integers(1, 3))


@settings(deadline=None, max_examples=120)
@given(shapes.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))))
def test_vectorised_equals_slow_on_anything(four):
    fast, slow = llp_scores(*four), slow_scores(*four)
    assert all(abs(fast[key] - slow[key]) < 1e-9 for key in KEYS), {
        key: (fast[key], slow[key]) for key in KEYS
    }


@settings(deadline=None, max_examples=60)
@given(shapes.flatmap(lambda shape: arrays(bool, shape)), st.randoms(use_true_random=False))
def test_order_of_videos_and_classes_does_not_matter(four, random):
    scores = llp_scores(*four)
    videos, classes = list(range(four.shape[1])), list(range(four.shape[3]))
    random.shuffle(videos), random.shuffle(classes)
    again = llp_scores(*four[:, videos][..., classes])
    backwards = llp_scores(*four[:, :, ::-1])
    for key in KEYS:
        assert abs(scores[key] - again[key]) < 1e-9 and abs(scores[key] - backwards[key]) < 1e-9
        assert 0 <= scores[key] <= 100
    assert all(value == 100 for value in llp_scores(*four[:2], *four[:2]).values())


def one(predicted, true):
    """Event-level audio F of one video and class, of strings such as "0110"."""
    predicted, true = (np.array([[[int(c)] for c in text]]) for text in (predicted, true))
    return llp_scores(predicted, predicted, true, true)["event_audio"]


def test_events_are_matched_by_half_of_the_union():
    assert one("1100000000", "1111000000") == 100  # IoU exactly 1/2 counts
    assert one("1000000000", "1110000000") == 0  # 1/3 does not
    assert one("0000000000", "0000000000") == 100  # an empty prediction that is correct
    assert one("1000000000", "0000000000") == 0
    assert one("1110111000", "1111111000") == 0  # two parts of 3/7: two false alarms, one miss
    assert one("1111000000", "1101000000") == pytest.approx(
        100 * 2 / 3
    )  # a hit by the first, and only the second is missed
    assert one("1111100000", "1101100000") == 0  # 2/5 each


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 14).flatmap(lambda n: arrays(bool, (2, 1, 3, n))))
def test_no_event_is_ever_claimed_twice(pair):
    """Nothing forbids it, but runs of one class are apart, so two of them cannot both cover half of
    a union with the same third."""
    predicted, true = pair
    hits, missed, false = llp.event_counts(predicted, true).sum((1, 2))
    assert hits + missed == sum(len(runs(row)) for row in true[0]) and hits + false == sum(
        len(runs(row)) for row in predicted[0]
    )


def test_no_event_is_claimed_twice_in_any_pair_of_seven_seconds():
    rows = (np.arange(128)[:, None] >> np.arange(7)) & 1 == 1  # all masks of seven seconds
    predicted, true = (
        side.reshape(-1, 1, 7) for side in np.broadcast_arrays(rows[:, None], rows[None])
    )
    hits, missed, false = llp.event_counts(predicted, true)[:, :, 0]
    events = np.array([len(runs(row)) for row in rows])
    assert np.array_equal(hits + missed, np.tile(events, 128))
    assert np.array_equal(hits + false, np.repeat(events, 128))


def test_pooled_table_of_classes():
    rng = np.random.default_rng(0)
    four = rng.random((4, 20, 10, 3)) < 0.3
    table = llp_per_class(*four, names=["a", "b", "c"])
    hits, both = (four[0] & four[2]).sum((0, 1)), four[0].sum((0, 1)) + four[2].sum((0, 1))
    assert table["segment_audio"] == pytest.approx((200 * hits / both).tolist())
    assert table["audio_events"] == [
        sum(len(runs(video[:, c])) for video in four[2]) for c in range(3)
    ]
    nothing = np.zeros((1, 10, 3))
    assert all(
        math.isnan(value)
        for value in llp_per_class(nothing, nothing, nothing, nothing)["event_visual"]
    )


# ---- bad input

good = np.zeros((2, 10, 3))
nan = np.where(np.arange(60).reshape(2, 10, 3) == 5, np.nan, 0.0)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: llp_scores(good, good, good, good[:1]), "true_visual has shape (1, 10, 3)"),
        (lambda: llp_scores(good[0], good, good, good), "expected three axes"),
        (lambda: llp_scores(good[:0], good, good, good), "none of them 0"),
        (lambda: llp_scores(nan, good, good, good), "NaN"),
        (lambda: llp_scores(good + 0.5, good, good, good), "threshold probabilities first"),
        (lambda: llp_scores(good - 1, good, good, good), "other than 0 and 1"),
        (lambda: llp_scores(good.astype(str), good, good, good), "expected numbers"),
        (lambda: llp_scores(good, good, good, good, layout="TNC"), "layout is 'TNC'"),
        (lambda: llp_predictions(good, good), "expected (N, T, C) and (N, C)"),
        (lambda: llp_predictions(nan, good[:, 0]), "NaN"),
        (lambda: filtered({"segment_audio": good}, by="modality"), "lack 'video_audio'"),
        (lambda: filtered({}, by="both"), "expected 'modality'"),
        (lambda: llp_per_class(good, good, good, good, names=["a"]), "1 class names for 3 classes"),
    ],
)
def test_bad_input_is_one_clear_line(call, words):
    with pytest.raises(AvbookError) as error:
        call()
    assert words in str(error.value) and "\n" not in str(error.value)
