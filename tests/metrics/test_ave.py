"""The scores of AVE against the released number, by hand, and against bad input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from avbook.data.events import AVE_CATEGORIES, ave_labels
from avbook.errors import AvbookError
from avbook.metrics.ave import ave_per_class, ave_per_video, ave_scores, confusion_counts


def test_segment_accuracy_of_the_released_psp(golden_dir):
    misc = np.load(golden_dir / "psp_misc.npz")
    assert (
        abs(
            ave_scores(misc["acc_logits"], misc["acc_labels"])["accuracy"] / 100
            - float(misc["acc20"])
        )
        < 1e-9
    )
    first = ave_scores(
        torch.from_numpy(misc["acc_logits"][:5]), torch.from_numpy(misc["acc_labels"][:5])
    )  # what its training loop prints
    assert abs(first["accuracy"] / 100 - float(misc["acc_nb5"])) < 1e-9


def test_what_an_accuracy_says_on_the_real_test_split(data_dir):
    h5py = pytest.importorskip("h5py")
    with open(data_dir / "ave" / "Annotations.txt", encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("&") for line in lines if line.strip()]
    with h5py.File(data_dir / "ave" / "test_order.h5") as file:
        order = file["order"][:]
    names = np.array([AVE_CATEGORIES.index(row[0]) for row in rows])
    labels = ave_labels(
        names, np.array([int(row[3]) for row in rows]), np.array([int(row[4]) for row in rows])
    )[order]
    always = np.repeat(names[order][:, None], 10, axis=1)
    scores = ave_scores(always, labels)
    assert round(scores["accuracy"], 1) == 82.2 and scores["accuracy"] == pytest.approx(
        scores["category_only_oracle"]
    )
    assert round(scores["always_background"], 1) == 17.8
    assert math.isnan(scores["background_precision"]) and scores["background_recall"] == 0


def test_ave_figures_by_hand():
    true = np.array([[3, 0, 0, 3], [1, 1, 1, 1], [3, 3, 3, 3]])  # three classes, background 3
    predicted = np.array([[3, 0, 1, 0], [1, 1, 3, 1], [3, 3, 2, 3]])
    scores = ave_scores(predicted, true, background=3)
    expected = {
        "accuracy": 100 * 8 / 12,
        "accuracy_with_background": 100 * 5 / 8,
        "event_accuracy": 100 * 4 / 6,
        "category_accuracy": 100.0,
        "background_recall": 100 * 4 / 6,
        "background_precision": 100 * 4 / 5,
        "mean_iou": 100 * (2 / 3 + 3 / 4) / 2,
        "category_only_oracle": 50.0,
        "always_background": 50.0,
    }
    assert scores == pytest.approx(expected)
    one_hot = np.eye(4)[true]
    for labels in (one_hot, torch.tensor(one_hot), torch.tensor(one_hot, dtype=torch.bfloat16)):
        assert ave_scores(np.eye(4)[predicted] * 3 - 1, labels) == scores
        assert ave_scores(torch.tensor(predicted), labels) == scores
    video = ave_per_video(predicted, one_hot)
    assert np.isnan(video["iou"]).tolist() == [False, False, True]
    assert video["accuracy"].tolist() == [50, 75, 75]
    assert video["named"].tolist() == [
        True,
        True,
        False,
    ]  # there is nothing to name in the last one
    counts = confusion_counts(predicted, one_hot)
    assert (
        counts.sum() == 12
        and counts[0].tolist() == [1, 1, 0, 0]
        and counts[3].tolist() == [1, 0, 1, 4]
    )
    table = ave_per_class(predicted, one_hot, names=["a", "b", "c"])
    assert (
        table["class"] == ["a", "b", "c", "background"]
        and table["segments"] == [2, 4, 0, 6]
        and table["videos"] == [1, 1, 0, 2]
    )
    assert (
        table["recall"][1] == 75
        and math.isnan(table["recall"][2])
        and table["precision"][1] == 75
        and table["f1"][2] == 0
    )


def test_a_set_without_events_or_without_background():
    scores = ave_scores(np.full((2, 5), 4), np.full((2, 5), 4), background=4)
    assert not ave_per_video(np.full((2, 5), 4), np.full((2, 5), 4), background=4)["named"].any()
    assert (
        scores["accuracy"] == 100
        and math.isnan(scores["mean_iou"])
        and math.isnan(scores["category_accuracy"])
    )
    scores = ave_scores(np.zeros((2, 5), int), np.zeros((2, 5), int), background=4)
    assert (
        scores["mean_iou"] == 100
        and math.isnan(scores["accuracy_with_background"])
        and math.isnan(scores["background_precision"])
    )


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 8)).flatmap(
        lambda shape: arrays(np.int64, (2, *shape), elements=st.integers(0, 3))
    )
)
def test_ave_figures_hang_together(pair):
    predicted, true = pair
    scores, counts = (
        ave_scores(predicted, true, background=3),
        confusion_counts(predicted, true, background=3),
    )
    assert scores["accuracy"] == pytest.approx(100 * counts.trace() / counts.sum())
    assert scores["category_only_oracle"] + scores["always_background"] == pytest.approx(100)
    parts = [
        scores["event_accuracy"] * (true != 3).sum() if (true != 3).any() else 0,
        scores["background_recall"] * (true == 3).sum() if (true == 3).any() else 0,
    ]
    assert sum(parts) == pytest.approx(scores["accuracy"] * true.size)
    assert ave_scores(true, true, background=3)["accuracy"] == 100


hot = np.eye(4)[np.zeros((2, 10), int)]


@pytest.mark.parametrize(
    "call, words",
    [
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
    ],
)
def test_bad_input_is_one_clear_line(call, words):
    with pytest.raises(AvbookError) as error:
        call()
    assert words in str(error.value) and "\n" not in str(error.value)


def test_no_torch_at_import():
    import subprocess
    import sys

    code = (
        "import sys, avbook.metrics.ave; sys.exit(any(name in sys.modules for name in ('torch',"
        " 'pandas', 'scipy', 'sklearn', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
