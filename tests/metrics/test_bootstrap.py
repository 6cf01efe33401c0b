"""Intervals against theory, coverage and bad input."""

import numpy as np
import pytest
import torch

from avbook.errors import AvbookError
from avbook.metrics.bootstrap import bootstrap, paired_bootstrap


def test_bootstrap_agrees_with_theory_and_with_itself():
    values = np.random.default_rng(1).normal(50, 10, 400)
    mean, low, high = bootstrap(values)
    assert mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(mean - half, abs=0.15 * half) and high == pytest.approx(
        mean + half, abs=0.15 * half
    )
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
    assert (
        found.mean == pytest.approx(100 * hits.sum() / support.sum())
        and found.low < 70 < found.high
    )


def test_interval_covers_at_its_level():
    rng = np.random.default_rng(3)
    covered = np.mean(
        [
            (lambda i: i.low <= 0 <= i.high)(bootstrap(rng.normal(size=100), draws=400, seed=k))
            for k in range(300)
        ]
    )
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


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: bootstrap(np.array([1.0, np.nan])), "NaN"),
        (lambda: bootstrap(np.zeros((3, 2))), "expected (N,)"),
        (lambda: bootstrap([]), "expected (N,)"),
        (lambda: bootstrap(np.ones(3), weights=np.zeros(3)), "not all 0"),
        (lambda: bootstrap(np.ones(3), level=95), "between 0 and 1"),
        (lambda: paired_bootstrap(np.ones(3), np.ones(4)), "same videos"),
        (lambda: paired_bootstrap({"a": np.ones(3)}, {"b": np.ones(3)}), "different names"),
    ],
)
def test_bad_input_is_one_clear_line(call, words):
    with pytest.raises(AvbookError) as error:
        call()
    assert words in str(error.value) and "\n" not in str(error.value)
