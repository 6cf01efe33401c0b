"""Scores of a grouping: from pairs counted one by one, by hand, and against bad input."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from avbook.errors import AvbookError
from avbook.metrics.clustering import cluster_scores, cluster_table


@settings(max_examples=40)
@given(st.integers(2, 30).flatmap(lambda n: arrays(np.int64, (2, n), elements=st.integers(0, 5))))
def test_adjusted_rand_counts_pairs(pair):
    """Agreement of all pairs of videos, against the agreement that chance would give."""
    groups, truth = pair
    pairs = list(combinations(range(len(groups)), 2))
    both = sum(groups[i] == groups[j] and truth[i] == truth[j] for i, j in pairs)
    ours, theirs = (sum(labels[i] == labels[j] for i, j in pairs) for labels in pair)
    chance, most = ours * theirs / len(pairs), (ours + theirs) / 2
    expected = 100.0 if most == chance else 100 * (both - chance) / (most - chance)
    scores = cluster_scores(groups, truth)
    assert scores["ari"] == pytest.approx(expected, abs=1e-9)
    assert scores["hungarian"] <= scores["purity"] + 1e-9 <= 100 + 2e-9


def test_nmi_by_hand():
    """Two halves against four quarters: one bit is shared, of one and two."""
    scores = cluster_scores(np.repeat([0, 1], 4), np.repeat(np.arange(4), 2))
    assert scores["nmi"] == pytest.approx(100 * 1 / 1.5)
    assert cluster_table([3, 3, 7], [1, 0, 1]).tolist() == [[1, 1], [0, 1]]


def test_purity_is_fooled_by_many_groups():
    categories = np.repeat(np.arange(4), 5)
    scores = cluster_scores(np.arange(20), categories)
    assert (
        scores["purity"] == 100 and scores["hungarian"] == 20 and scores["ari"] == pytest.approx(0)
    )
    assert cluster_scores(categories[::-1], categories)["hungarian"] == 100


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: cluster_scores([0, 1], [0]), "same videos"),
    ],
)
def test_bad_input_is_one_clear_line(call, words):
    with pytest.raises(AvbookError) as error:
        call()
    assert words in str(error.value) and "\n" not in str(error.value)
