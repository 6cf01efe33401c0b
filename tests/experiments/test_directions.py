"""Directions: their verdicts, what an undecided one excludes, and which seeds decide."""

import math

import numpy as np
import pytest
from made_records import put
from scipy.stats import ttest_1samp

from avbook import papers
from avbook.experiments.directions import (
    FIRST_SEEDS,
    LAST_SEEDS,
    Comparison,
    compare,
    ordering_claims,
    ordering_rows,
    undecided_claims,
)
from avbook.experiments.records import Records
from avbook.experiments.tables import (
    summarise,
    table_rows,
    to_markdown,
    verdict_notes,
    verdict_text,
)


@pytest.mark.parametrize(
    "gaps, verdict",
    [
        ((2, 3, 2.5), "agrees"),
        ((-2, -3, -2.5), "disagrees"),
        ((-2, 3, 0.5), "undecided"),
        ((2,), "undecided"),
        ((), "not run"),
    ],
)
def test_a_direction_is_judged_seed_by_seed(tmp_path, gaps, verdict):
    for seed, gap in enumerate(gaps):
        put(
            tmp_path, "psp-full", {"prune": "none"}, seed, 60.0 + 7 * seed
        )  # seeds differ by more than the gap: pairing must matter
        put(tmp_path, "psp-full", {}, seed, 60.0 + 7 * seed + gap)
    claims = ordering_rows("psp-1", Records(tmp_path), only="full")
    assert len(claims) == 4
    claim = claims[0]
    assert (
        claim["claim"] == "PSP beats w/o PSP (full)"
        and claim["verdict"] == verdict
        and claim["paper"] == 4.1
    )


def told(excludes=None, inside=None, verdict="undecided"):
    return {"verdict": verdict, "excludes": excludes, "paper_gap_inside": inside}


@pytest.mark.parametrize(
    "gaps, excludes",
    [
        ((-2.0, 3.0, 0.5), 6.71),  # 0.5 ± 6.21
        ((2.0, -3.0, -0.5), 6.71),
        ((2.0, 3.0, 2.5), None),  # decided: the interval says it
        ((-2.0, -3.0, -2.5), None),
        ((2.0,), None),  # one seed has no interval
        ((), None),
        ((math.nan, math.nan), None),
    ],
)
def test_an_undecided_direction_says_what_it_excludes(gaps, excludes):
    def run(accuracy, seed):
        return {"seed": seed, "metrics": {"test": {"val_selected": {"accuracy": accuracy}}}}

    result = compare(
        [run(60 + gap, seed) for seed, gap in enumerate(gaps)],
        [run(60, seed) for seed, _ in enumerate(gaps)],
    )
    assert result.excludes == pytest.approx(excludes, abs=0.01)


@pytest.mark.parametrize(
    "gap, inside", [(1.0, True), (3.9, True), (4.1, False), (-0.1, False), (None, None)]
)
def test_where_the_papers_gap_lies(gap, inside):
    assert Comparison(summarise([1.2, 2.0, 2.8]), "agrees").holds(gap) is inside  # 0.01 to 3.99
    assert Comparison(summarise([2.0]), "undecided").holds(gap) is None
    assert Comparison(None, "not run").holds(gap) is None


def test_a_verdict_in_words():
    assert verdict_text(told()) == "undecided" and verdict_notes(told(inside=False)) == []
    assert verdict_text(told(1.21)) == "undecided (less than 1.3 points either way)", "rounded up"
    assert verdict_text(told(1.2)) == "undecided (less than 1.2 points either way)"
    assert verdict_text(told(0.1 + 0.2)) == "undecided (less than 0.3 points either way)"
    assert verdict_text(told(None, True, "agrees")) == "agrees (paper's gap inside)"
    assert verdict_text(told(4.0, True)) == (
        "undecided (less than 4.0 points either way; paper's gap inside)"
    )


def test_a_table_says_what_its_directions_exclude(tmp_path):
    for seed, gap in enumerate((-4.0, 6.0, 1.0)):  # 1 ± 12.42
        put(tmp_path, "psp-full", {}, seed, 60.0 + gap)
        put(tmp_path, "psp-full", {"prune": "none"}, seed, 60.0)
        put(tmp_path, "psp-full", {"prune": "asp"}, seed, 50.0 + gap + seed / 10)
    records, table = Records(tmp_path), papers.find_table("psp-1")
    first, second, third, *_ = rows = ordering_rows("psp-1", records, only="full")
    assert first["excludes"] == pytest.approx(13.42, abs=0.01) and first["paper_gap_inside"]
    assert (second["verdict"], second["paper"], second["excludes"]) == ("agrees", 1.9, None)
    assert second["paper_gap_inside"] is False and second["low"] > 1.9
    nothing = [third[key] for key in ("verdict", "excludes", "paper_gap_inside")]
    assert nothing == ["not run", None, None]
    text = to_markdown(table, table_rows(table, records), rows)
    assert "| 3 | undecided (less than 13.5 points either way; paper's gap inside) |" in text
    assert "| 3 | agrees |" in text and "| 0 | not run |" in text


def test_only_the_first_seeds_say_whether_a_direction_is_undecided(tmp_path):
    for seed, gap in enumerate((2.0, -2.0, 50.0, 51.0)):
        put(tmp_path, "psp-full", {}, seed, 60.0)
        put(tmp_path, "psp-full", {"prune": "none"}, seed, 60.0 - gap)
        put(tmp_path, "psp-full", {"prune": "asp"}, seed, 50.0 + seed / 10)
    claims = ordering_claims("psp-1", "full")
    names = ("no-psp", "asp", "wpsp", "sapsp")
    assert [claim.key for claim in claims] == [f"psp-1-full-{name}" for name in names]
    records = Records(tmp_path)
    assert compare(records.of("psp-full"), records.of("psp-full", {"prune": "asp"})).gap.n == 4
    found = undecided_claims(claims, records, 2)
    assert [claim.key for claim in found] == ["psp-1-full-no-psp"], "the others: decided, not run"
    put(tmp_path, "psp-full", {"prune": "wpsp"}, 3, 60.0)
    found = undecided_claims(claims, Records(tmp_path), 3)
    assert [claim.key for claim in found] == ["psp-1-full-no-psp"], "seed 3 is not looked at"


def test_how_often_the_rule_decides_where_there_is_no_gap():
    """As the ledger's page says; the t-test of its simulation decides as `compare` does."""
    draws = np.random.default_rng(1).standard_normal((200_000, LAST_SEEDS))
    looks = [
        ttest_1samp(draws[:, :seeds], 0, axis=1).pvalue < 0.05
        for seeds in (FIRST_SEEDS, LAST_SEEDS)
    ]
    assert 0.083 < (looks[0] | looks[1]).mean() < 0.087  # 0.085; sampling error 0.0006
    for seeds, decided in zip((FIRST_SEEDS, LAST_SEEDS), looks):
        for row in range(300):
            runs = [
                {"seed": seed, "metrics": {"test": {"last": {"accuracy": accuracy}}}}
                for seed, accuracy in enumerate(draws[row, :seeds])
            ]
            even = [{**run, "metrics": {"test": {"last": {"accuracy": 0}}}} for run in runs]
            verdict = compare(runs, even, selection="last").verdict
            assert (verdict != "undecided") == decided[row]
