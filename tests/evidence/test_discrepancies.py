"""The list of discrepancies: every option of the tables is in it, linked to its section, and its
effect is the difference of the records."""

import numpy as np
import pytest
from made_records import put
from processes import ROOT

from avbook.evidence.discrepancies import REGISTERS, discrepancy_rows, other_entries, to_markdown
from avbook.experiments.records import Records
from avbook.experiments.tables import get_score
from avbook.papers import find_table
from avbook.show.pages import read_pages

PAGES = read_pages(ROOT / "nbs")


@pytest.fixture(scope="module")
def rows():
    return discrepancy_rows(PAGES, Records(ROOT / "nbs/records"))


def test_every_switch_is_an_entry(rows):
    for paper, (key, _, recipes) in REGISTERS.items():
        yardsticks = {
            "ours",  # switches nothing
            "HAN, audio only",
            "HAN, visual only",
            "MA, refined by ground truth",
            "Speech dropped from all visual labels, no exchange",
        }
        switched = {
            cell.row for cell in find_table(key).cells if cell.options and cell.recipe in recipes
        } - yardsticks
        assert switched and switched == {row["entry"] for row in rows if row["paper"] == paper}


def test_every_entry_leads_to_a_section_that_shows_it(rows):
    anchors = {f"{page.path}#{heading.anchor}": page for page in PAGES for heading in page.headings}
    for row in rows:
        if (ROOT / "nbs" / REGISTERS[row["paper"]][1]).exists():
            assert row["place"] in anchors, (
                f"{row['paper']}: {row['entry']} is shown nowhere on {REGISTERS[row['paper']][1]}"
            )
            page = anchors[row["place"]]
            said = page.words("code") + "".join(
                "".join(o.get("data", {}).get("text/html", ""))
                for c in page.cells
                for o in c.get("outputs", [])
            )
            assert row["entry"] in said or f'f"{row["entry"].rpartition(" ")[0]} {{' in said
    frozen = next(row for row in rows if row["entry"] == "frozen batches")
    assert frozen["place"] == "2_supervised/06_discrepancies.ipynb#frozen-batches"


def test_sections_without_a_switch_are_listed_too(rows):
    shown = {row["place"] for row in rows}
    others = other_entries(PAGES, rows)
    assert "A training accuracy over 26 videos" in {heading.text for _, _, heading in others}
    assert not {f"{path}#{heading.anchor}" for _, path, heading in others} & shown


def test_the_effect_is_the_paired_difference(tmp_path):
    for seed in range(3):
        put(tmp_path, "psp-full", {}, seed, 70.0 + 5 * seed)
        put(tmp_path, "psp-full", {"stale_targets": True}, seed, 69.0 + 5 * seed - 0.1 * seed)
    rows = discrepancy_rows(PAGES, Records(tmp_path))
    stale = next(row for row in rows if row["entry"] == "stale similarity targets")
    assert (
        stale["gap"].mean == pytest.approx(-1.1)
        and stale["verdict"] == "lower"
        and stale["gap"].n == 3
    )
    assert {row["verdict"] for row in rows if row is not stale} == {"not run"}
    assert "| -1.1 [-1.3, -0.9] | 3 | lower |" in to_markdown([stale], "../").replace(
        "\N{NO-BREAK SPACE}", " "
    )


def test_a_switch_is_judged_against_its_own_tables_row_without_it(rows):
    """CMLCL's table runs one round; against three rounds two things would change at once."""
    records = Records(ROOT / "nbs/records")
    ours = {r["seed"]: get_score(r, "accuracy", "last") for r in records.of("cmlcl", {"rounds": 1})}
    found = [row for row in rows if row["paper"] == "CMLCL"]
    assert len(found) > 10 and "ours" not in {row["entry"] for row in found}
    for row in found:
        gaps = [
            get_score(r, "accuracy", "last") - ours[r["seed"]]
            for r in records.of("cmlcl", row["options"])
            if r["seed"] in ours
        ]
        assert row["options"]["rounds"] == 1 and row["gap"].mean == pytest.approx(np.mean(gaps))


def test_the_register_says_what_the_records_say(rows):
    records = Records(ROOT / "nbs/records")
    row = next(r for r in rows if r["entry"] == "aliased targets")
    by_seed = [
        {r["seed"]: get_score(r, "segment_type", "last") for r in records.of("ma", options)}
        for options in ({"aliased_targets": True}, {})
    ]
    gaps = [by_seed[0][seed] - by_seed[1][seed] for seed in by_seed[0].keys() & by_seed[1].keys()]
    assert row["gap"].mean == pytest.approx(sum(gaps) / len(gaps)) and set(row["others"]) == {
        "segment_audio",
        "segment_visual",
        "event_type",
    }
