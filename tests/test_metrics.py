"""The metrics against the released evaluation's numbers, against slow loops written from the definition, and against bad input."""
import csv
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from avbook import metrics
from avbook.errors import AvbookError
from avbook.metrics import (ave_per_class, ave_per_video, ave_scores, bootstrap, cluster_scores, confusion_counts, filtered, llp_per_class,
                            llp_per_video, llp_predictions, llp_scores, paired_bootstrap)
from avbook.timeline import AVE_CATEGORIES, LLP_CATEGORIES, ave_labels, llp_labels, Event, runs

KEYS = ["segment_audio", "segment_visual", "segment_av", "segment_type", "segment_event",
        "event_audio", "event_visual", "event_av", "event_type", "event_event"]


# ---- the released evaluation ---------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def golden(golden_dir):
    return np.load(golden_dir / "llp_metrics_val.npz")


def unpacked(golden, name):
    shape = tuple(golden["shape"])
    return np.unpackbits(golden[name])[:np.prod(shape)].reshape(shape)  # (N, C, T)


@pytest.mark.parametrize("kind, by", [("han", "video"), ("ma", "modality")])
def test_both_filters_give_the_released_predictions(golden, kind, by):
    frame = golden["frame_prob_x256"] / 256  # (N, T, 2, C)
    outputs = {"segment_audio": frame[:, :, 0], "segment_visual": frame[:, :, 1], "video": golden["global_prob_x256"] / 256,
               "video_audio": golden["a_prob_x256"] / 256, "video_visual": golden["v_prob_x256"] / 256}
    for module in (np.asarray, torch.from_numpy, lambda array: torch.from_numpy(array).bfloat16()):  # n/256 is exact in all three
        audio, visual = filtered({name: module(value) for name, value in outputs.items()}, by=by)
        assert np.array_equal(audio.swapaxes(1, 2), unpacked(golden, f"{kind}/SO_a_packed"))
        assert np.array_equal(visual.swapaxes(1, 2), unpacked(golden, f"{kind}/SO_v_packed"))
    other = filtered(outputs, by={"video": "modality", "modality": "video"}[by])
    assert not np.array_equal(other[0].swapaxes(1, 2), unpacked(golden, f"{kind}/SO_a_packed"))


@pytest.mark.parametrize("kind", ["han", "ma"])
def test_equal_to_the_released_scores_per_video_and_aggregate(golden, kind):
    four = [unpacked(golden, name) for name in (f"{kind}/SO_a_packed", f"{kind}/SO_v_packed", "GT_a_packed", "GT_v_packed")]
    video = llp_per_video(*four, layout="NCT")
    for level in ("segment", "event"):
        released = golden[f"{kind}/per_video_{level[:3] if level == 'segment' else level}_a_v_all_av"]  # (N, 4)
        for column, name in enumerate(("audio", "visual", "event", "av")):
            assert np.abs(video[f"{level}_{name}"] / 100 - released[:, column]).max() < 1e-9, (level, name)
    scores = llp_scores(*four, layout="NCT")
    assert list(scores) == KEYS
    assert np.abs(np.array(list(scores.values())) - golden[f"{kind}/agg_seg[a,v,av,type,event]_event[a,v,av,type,event]"]).max() < 1e-9
    assert abs(scores["segment_type"] - float(golden[f"{kind}/eval_return"])) < 1e-9
    swapped = llp_scores(*(torch.from_numpy(mask.swapaxes(1, 2).copy()) for mask in four))
    assert swapped == scores


ORDER = ["segment_audio", "segment_visual", "segment_event", "segment_av", "event_audio", "event_visual", "event_event", "event_av"]


@pytest.mark.parametrize("case", ["zeros", "ones", "gt", "bern"])
def test_equal_to_the_released_scores_on_edge_cases(golden, case):
    truth = [unpacked(golden, name) for name in ("GT_a_packed", "GT_v_packed")]
    predicted = {"zeros": [np.zeros_like(mask) for mask in truth], "ones": [np.ones_like(mask) for mask in truth], "gt": truth,
                 "bern": [unpacked(golden, "edge/bern_SA_packed"), unpacked(golden, "edge/bern_SV_packed")]}[case]
    scores = llp_scores(*predicted, *truth, layout="NCT")
    released = golden[f"edge/{case}_mean_seg(a,v,all,av)_event(a,v,all,av)"]
    assert np.abs(np.array([scores[name] for name in ORDER]) / 100 - released).max() < 1e-9
    if case == "bern":
        video = llp_per_video(*predicted, *truth, layout="NCT")
        assert np.abs(np.stack([video[name] for name in ORDER], 1) / 100 - golden["edge/bern_per_video"]).max() < 1e-9


def test_segment_accuracy_of_the_released_psp(golden_dir):
    misc = np.load(golden_dir / "psp_misc.npz")
    assert abs(ave_scores(misc["acc_logits"], misc["acc_labels"])["accuracy"] / 100 - float(misc["acc20"])) < 1e-9
    first = ave_scores(torch.from_numpy(misc["acc_logits"][:5]), torch.from_numpy(misc["acc_labels"][:5]))  # what its training loop prints
    assert abs(first["accuracy"] / 100 - float(misc["acc_nb5"])) < 1e-9


# ---- the real annotations ------------------------------------------------------------------------------------------------------

def test_what_an_accuracy_says_on_the_real_test_split(data_dir):
    h5py = pytest.importorskip("h5py")
    with open(data_dir / "ave" / "Annotations.txt", encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("&") for line in lines if line.strip()]
    with h5py.File(data_dir / "ave" / "test_order.h5") as file:
        order = file["order"][:]
    names = np.array([AVE_CATEGORIES.index(row[0]) for row in rows])
    labels = ave_labels(names, np.array([int(row[3]) for row in rows]), np.array([int(row[4]) for row in rows]))[order]
    always = np.repeat(names[order][:, None], 10, axis=1)
    scores = ave_scores(always, labels)
    assert round(scores["accuracy"], 1) == 82.2 and scores["accuracy"] == pytest.approx(scores["category_only_oracle"])
    assert round(scores["always_background"], 1) == 17.8
    assert math.isnan(scores["background_precision"]) and scores["background_recall"] == 0


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
                truth[side][index[row["filename"]]] = np.maximum(truth[side][index[row["filename"]]], llp_labels([Event(row["event_labels"], onset, offset)]))
    nothing = np.zeros_like(truth["audio"])
    scores = llp_scores(nothing, nothing, truth["audio"], truth["visual"])
    assert len(index) == 1200
    assert round(scores["segment_visual"], 1) == 10.1 and round(scores["segment_av"], 1) == 14.5
    assert scores["segment_visual"] == scores["event_visual"]


# ---- definitions, written out slowly -------------------------------------------------------------------------------------------

def slow_counts(level, predicted, true):
    """(TP, FN, FP) of one class in one video, straight from the definition."""
    if level == "segment":
        return (sum(p and t for p, t in zip(predicted, true)), sum(t and not p for p, t in zip(predicted, true)),
                sum(p and not t for p, t in zip(predicted, true)))

    def close(one, other):
        union = set(range(*one)) | set(range(*other))
        return len(set(range(*one)) & set(range(*other))) / len(union) >= 0.5

    called, real = runs(predicted), runs(true)
    hits = sum(any(close(p, t) for t in real) for p in called)
    return hits, sum(not any(close(p, t) for p in called) for t in real), len(called) - hits


def slow_video(level, pairs):
    """The F of one video: counts of the given (predicted, true) pairs added, then F1, then the mean over classes."""
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
            three = slow_video(level, [(a, g)]), slow_video(level, [(v, h)]), slow_video(level, [(a * v, g * h)])
            for name, value in zip(("audio", "visual", "av", "type"), (*three, np.mean(three))):
                rows[f"{level}_{name}"].append(value)
            rows[f"{level}_event"].append(slow_video(level, [(a, g), (v, h)]))
    return {key: 100 * np.mean(values) for key, values in rows.items()}


shapes = st.tuples(st.just(4), st.integers(1, 4), st.integers(1, 12), st.integers(1, 3))


@settings(deadline=None, max_examples=120)
@given(shapes.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))))
def test_vectorised_equals_slow_on_anything(four):
    fast, slow = llp_scores(*four), slow_scores(*four)
    assert all(abs(fast[key] - slow[key]) < 1e-9 for key in KEYS), {key: (fast[key], slow[key]) for key in KEYS}


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
    assert one("0000000000", "0000000000") == 100  # silence rightly kept
    assert one("1000000000", "0000000000") == 0
    assert one("1110111000", "1111111000") == 0  # two parts of 3/7: two false alarms, one miss
    assert one("1111000000", "1101000000") == pytest.approx(100 * 2 / 3)  # a hit by the first, and only the second is missed
    assert one("1111100000", "1101100000") == 0  # 2/5 each


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 14).flatmap(lambda n: arrays(bool, (2, 1, 3, n))))
def test_no_event_is_ever_claimed_twice(pair):
    """Nothing forbids it, but runs of one class are apart, so two of them cannot both cover half of a union with the same third."""
    predicted, true = pair
    hits, missed, false = metrics.event_counts(predicted, true).sum((1, 2))
    assert hits + missed == sum(len(runs(row)) for row in true[0]) and hits + false == sum(len(runs(row)) for row in predicted[0])


# ---- AVE -----------------------------------------------------------------------------------------------------------------------

def test_ave_figures_by_hand():
    true = np.array([[3, 0, 0, 3], [1, 1, 1, 1], [3, 3, 3, 3]])  # three classes, background 3
    predicted = np.array([[3, 0, 1, 0], [1, 1, 3, 1], [3, 3, 2, 3]])
    scores = ave_scores(predicted, true, background=3)
    expected = {"accuracy": 100 * 8 / 12, "accuracy_with_background": 100 * 5 / 8, "event_accuracy": 100 * 4 / 6, "category_accuracy": 100.0,
                "background_recall": 100 * 4 / 6, "background_precision": 100 * 4 / 5, "mean_iou": 100 * (2 / 3 + 3 / 4) / 2,
                "category_only_oracle": 50.0, "always_background": 50.0}
    assert scores == pytest.approx(expected)
    one_hot = np.eye(4)[true]
    for labels in (one_hot, torch.tensor(one_hot), torch.tensor(one_hot, dtype=torch.bfloat16)):
        assert ave_scores(np.eye(4)[predicted] * 3 - 1, labels) == scores
        assert ave_scores(torch.tensor(predicted), labels) == scores
    video = ave_per_video(predicted, one_hot)
    assert np.isnan(video["iou"]).tolist() == [False, False, True]
    assert video["accuracy"].tolist() == [50, 75, 75]
    assert video["named"].tolist() == [True, True, False]  # there is nothing to name in the last one
    counts = confusion_counts(predicted, one_hot)
    assert counts.sum() == 12 and counts[0].tolist() == [1, 1, 0, 0] and counts[3].tolist() == [1, 0, 1, 4]
    table = ave_per_class(predicted, one_hot, names=["a", "b", "c"])
    assert table["class"] == ["a", "b", "c", "background"] and table["segments"] == [2, 4, 0, 6] and table["videos"] == [1, 1, 0, 2]
    assert table["recall"][1] == 75 and math.isnan(table["recall"][2]) and table["precision"][1] == 75 and table["f1"][2] == 0


def test_a_set_without_events_or_without_background():
    scores = ave_scores(np.full((2, 5), 4), np.full((2, 5), 4), background=4)
    assert not ave_per_video(np.full((2, 5), 4), np.full((2, 5), 4), background=4)["named"].any()
    assert scores["accuracy"] == 100 and math.isnan(scores["mean_iou"]) and math.isnan(scores["category_accuracy"])
    scores = ave_scores(np.zeros((2, 5), int), np.zeros((2, 5), int), background=4)
    assert scores["mean_iou"] == 100 and math.isnan(scores["accuracy_with_background"]) and math.isnan(scores["background_precision"])


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.integers(1, 5), st.integers(1, 8)).flatmap(lambda shape: arrays(np.int64, (2, *shape), elements=st.integers(0, 3))))
def test_ave_figures_hang_together(pair):
    predicted, true = pair
    scores, counts = ave_scores(predicted, true, background=3), confusion_counts(predicted, true, background=3)
    assert scores["accuracy"] == pytest.approx(100 * counts.trace() / counts.sum())
    assert scores["category_only_oracle"] + scores["always_background"] == pytest.approx(100)
    parts = [scores["event_accuracy"] * (true != 3).sum() if (true != 3).any() else 0, scores["background_recall"] * (true == 3).sum() if (true == 3).any() else 0]
    assert sum(parts) == pytest.approx(scores["accuracy"] * true.size)
    assert ave_scores(true, true, background=3)["accuracy"] == 100


def test_pooled_table_of_classes():
    rng = np.random.default_rng(0)
    four = rng.random((4, 20, 10, 3)) < 0.3
    table = llp_per_class(*four, names=["a", "b", "c"])
    hits, both = (four[0] & four[2]).sum((0, 1)), four[0].sum((0, 1)) + four[2].sum((0, 1))
    assert table["segment_audio"] == pytest.approx((200 * hits / both).tolist())
    assert table["audio_events"] == [sum(len(runs(video[:, c])) for video in four[2]) for c in range(3)]
    nothing = np.zeros((1, 10, 3))
    assert all(math.isnan(value) for value in llp_per_class(nothing, nothing, nothing, nothing)["event_visual"])


# ---- how sure ------------------------------------------------------------------------------------------------------------------

def test_bootstrap_agrees_with_theory_and_with_itself():
    values = np.random.default_rng(1).normal(50, 10, 400)
    mean, low, high = bootstrap(values)
    assert mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(mean - half, abs=0.15 * half) and high == pytest.approx(mean + half, abs=0.15 * half)
    assert bootstrap(values) == (mean, low, high) != bootstrap(values, seed=1)
    assert bootstrap({"x": values, "y": -values})["x"] == pytest.approx((mean, low, high))
    assert bootstrap(torch.tensor(values)) == (mean, low, high)
    wide = bootstrap(values, level=0.99)
    assert wide.low < low and wide.high > high
    assert bootstrap(np.full(7, 3.0)) == (3, 3, 3)


def test_bootstrap_of_a_ratio_of_sums():
    rng = np.random.default_rng(2)
    support = rng.integers(0, 10, 300)
    hits = rng.binomial(support, 0.7)
    recall = np.divide(100 * hits, support, out=np.zeros(300), where=support > 0)
    found = bootstrap(recall, weights=support)
    assert found.mean == pytest.approx(100 * hits.sum() / support.sum()) and found.low < 70 < found.high


def test_interval_covers_at_its_level():
    rng = np.random.default_rng(3)
    covered = np.mean([(lambda i: i.low <= 0 <= i.high)(bootstrap(rng.normal(size=100), draws=400, seed=k)) for k in range(300)])
    assert 0.89 < covered < 0.985


def test_paired_is_narrower_and_sees_what_two_intervals_miss():
    rng = np.random.default_rng(4)
    hard = rng.normal(60, 20, 300)
    first, second = hard + rng.normal(1.5, 3, 300), hard + rng.normal(0, 3, 300)
    a, b, difference = bootstrap(first), bootstrap(second), paired_bootstrap(first, second)
    assert a.low < b.high and a.excludes_zero
    assert difference.excludes_zero and difference.high - difference.low < (a.high - a.low) / 3
    assert not paired_bootstrap(first, first).excludes_zero
    assert paired_bootstrap({"x": first}, {"x": second})["x"] == pytest.approx(difference)


# ---- groupings -----------------------------------------------------------------------------------------------------------------

@settings(deadline=None, max_examples=60)
@given(st.integers(2, 40).flatmap(lambda n: arrays(np.int64, (2, n), elements=st.integers(0, 5))))
def test_cluster_scores_equal_scikit_learn(pair):
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    scores = cluster_scores(*pair)
    assert scores["ari"] == pytest.approx(100 * adjusted_rand_score(pair[1], pair[0]), abs=1e-9)
    assert scores["nmi"] == pytest.approx(100 * normalized_mutual_info_score(pair[1], pair[0]), abs=1e-6)
    assert scores["hungarian"] <= scores["purity"] + 1e-9 <= 100 + 2e-9


def test_purity_is_fooled_by_many_groups():
    categories = np.repeat(np.arange(4), 5)
    scores = cluster_scores(np.arange(20), categories)
    assert scores["purity"] == 100 and scores["hungarian"] == 20 and scores["ari"] == pytest.approx(0)
    assert cluster_scores(categories[::-1], categories)["hungarian"] == 100


# ---- bad input -----------------------------------------------------------------------------------------------------------------

good = np.zeros((2, 10, 3))
nan = np.where(np.arange(60).reshape(2, 10, 3) == 5, np.nan, 0.0)
hot = np.eye(4)[np.zeros((2, 10), int)]


@pytest.mark.parametrize("call, words", [
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
    (lambda: ave_scores(np.zeros((2, 9), int), hot), "expected the same videos and segments"),
    (lambda: ave_scores(np.zeros((2, 10), int), np.zeros((2, 10), int)), "pass background=C"),
    (lambda: ave_scores(np.full((2, 10), 4), hot), "holds class 4"),
    (lambda: ave_scores(np.full((2, 10), -1), hot), "holds class -1"),
    (lambda: ave_scores(np.full((2, 10), 0.5), hot), "holds fractions"),
    (lambda: ave_scores(np.full((2, 10, 4), np.nan), hot), "NaN"),
    (lambda: ave_scores(np.zeros((2, 10, 5)), hot), "same class list"),
    (lambda: ave_scores(np.zeros((2, 10), int), hot * 0.5), "not one-hot"),
    (lambda: ave_scores(np.zeros((2, 10), int), hot, background=2), "it is the last class"),
    (lambda: ave_scores(np.zeros((10,), int), hot), "predicted has shape (10,)"),
    (lambda: bootstrap(np.array([1.0, np.nan])), "NaN"),
    (lambda: bootstrap(np.zeros((3, 2))), "expected (N,)"),
    (lambda: bootstrap([]), "expected (N,)"),
    (lambda: bootstrap(np.ones(3), weights=np.zeros(3)), "not all 0"),
    (lambda: bootstrap(np.ones(3), level=95), "between 0 and 1"),
    (lambda: paired_bootstrap(np.ones(3), np.ones(4)), "same videos"),
    (lambda: paired_bootstrap({"a": np.ones(3)}, {"b": np.ones(3)}), "different names"),
    (lambda: cluster_scores([0, 1], [0]), "same videos"),
])
def test_bad_input_is_one_clear_line(call, words):
    with pytest.raises(AvbookError) as error:
        call()
    assert words in str(error.value) and "\n" not in str(error.value)


def test_no_torch_at_import():
    import subprocess
    import sys
    code = "import sys, avbook.metrics; sys.exit(any(name in sys.modules for name in ('torch', 'pandas', 'scipy', 'sklearn', 'matplotlib')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
