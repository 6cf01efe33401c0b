"""The five lines that open a results page, and the reasons of what disagrees."""

import pytest
from made_records import put

from avbook.errors import AvbookError
from avbook.evidence.summary import explain_disagreements, summarise_page
from avbook.experiments.directions import ordering_rows
from avbook.experiments.records import Records

WORDS = dict(question="Is it?", caveat="A stand-in.", next="[There](there.ipynb).")


@pytest.fixture
def rows(tmp_path):
    """PSP against its four variants: ahead by 5, ahead by 1, behind by 2, and no record."""
    for seed in range(4):
        put(tmp_path, "psp-full", {}, seed, 60.0 + seed)
        put(tmp_path, "psp-full", {"prune": "none"}, seed, 55.0 + seed + 0.1 * (seed % 2))
        put(tmp_path, "psp-full", {"prune": "asp"}, seed, 59.0 + seed + 0.6 * (seed % 2))
        put(tmp_path, "psp-full", {"prune": "wpsp"}, seed, 62.0 + seed + 0.1 * (seed % 2))
    return ordering_rows("psp-1", Records(tmp_path), only="full")


def test_the_five_lines(rows):
    lines = summarise_page(rows, **WORDS).splitlines()
    assert [line.split(".**")[0] for line in lines] == [
        "- **Question",
        "- **Answer",
        "- **Best evidence",
        "- **Caveat",
        "- **Where next",
    ]
    verdicts = [row["verdict"] for row in rows]
    assert verdicts.count("agrees") == 2 and verdicts.count("disagrees") == 1
    assert "2 agree with ours, 1 disagrees and 1 was not run, over 4 seeds" in lines[1]
    assert "PSP beats w/o PSP (full): +4.9" in lines[2] and "agrees" in lines[2]
    assert "the paper: +4.1" in lines[2]
    others = summarise_page(rows, evidence=rows[1:], **WORDS).splitlines()
    assert others[:2] == lines[:2] and "w/o PSP" not in others[2]


def test_the_answer_counts_the_papers_gaps_that_undecided_directions_exclude(rows):
    def undecided(*inside):
        made = [
            row | {"verdict": "undecided", "paper_gap_inside": holds}
            for row, holds in zip(rows, inside)
        ]
        return summarise_page(made, **WORDS).splitlines()[1]

    assert undecided(False, True, False, None).endswith(
        "The paper prints a difference for 3 of the undecided directions; our interval excludes"
        " 2 of these differences."
    )
    assert "Of the undecided" not in undecided(None, None, None, None)
    assert "Of the undecided" not in summarise_page(rows, **WORDS)


def test_nothing_decided_and_nothing_to_say(rows):
    undecided = [row | {"verdict": "undecided"} for row in rows]
    assert "No direction is decided." in summarise_page(undecided, **WORDS)
    with pytest.raises(AvbookError, match="no direction to summarise"):
        summarise_page([], **WORDS)


def test_a_disagreement_has_a_reason_or_says_that_none_is_known(rows):
    (against,) = [row["claim"] for row in rows if row["verdict"] == "disagrees"]
    assert "We do not know why." in explain_disagreements(rows, {})
    told = explain_disagreements(rows, {against: "Since clips are short."})
    assert told.startswith(f"- *{against}*: -2.0") and told.endswith("Since clips are short.")
    assert explain_disagreements([r for r in rows if r["claim"] != against], {}) == (
        "No direction disagrees."
    )
    with pytest.raises(AvbookError, match="which no row claims"):
        explain_disagreements(rows, {"A beats B": "x"})
