"""Records to tables: means, intervals, verdicts, and what is shown where nothing was run."""

import math

import numpy as np
import pytest
from made_records import put
from scipy import stats

from avbook import papers
from avbook.errors import AvbookError
from avbook.experiments import tables as ledger
from avbook.experiments.directions import compare
from avbook.experiments.records import Records
from avbook.experiments.tables import summarise, table_rows, to_markdown

TABLE = papers.find_table("psp-1")


def test_an_interval_over_seeds_is_students(tmp_path):
    values = np.random.default_rng(0).normal(70, 2, 5)
    got = summarise(values)
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert (got.low, got.high) == pytest.approx((low, high)) and got.sd == pytest.approx(
        values.std(ddof=1)
    )
    assert (
        summarise([]) is None and math.isnan(summarise([3.0]).sd) and str(summarise([3.0])) == "3.0"
    )
    assert (
        summarise([1.0, math.nan, 3.0]) == summarise([1.0, 3.0]) and summarise([math.nan]) is None
    )  # a precision of nothing is no figure


def test_a_table_shows_paper_ours_and_what_was_not_run(tmp_path):
    for seed, accuracy in enumerate((70.0, 72.0, 74.0)):
        put(tmp_path, "psp-full", {}, seed, accuracy)
    rows = table_rows(TABLE, Records(tmp_path), only="full")
    by_row = {r["row"]: r for r in rows}
    assert (
        len(rows) == 5
        and by_row["PSP"]["ours"] == 72.0
        and by_row["PSP"]["paper"] == 77.8
        and by_row["PSP"]["verdict"] == "world"
    )
    assert by_row["ASP"]["ours"] is None and by_row["ASP"]["verdict"] == "not run"
    assert by_row["PSP"]["command"].endswith("--seeds 3")
    text = to_markdown(TABLE, rows)
    assert (
        "| PSP | 77.8 | 72.0\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}2.0 |" in text
        and "| ASP | 75.9 | not run |" in text
    )
    assert "world: w" in text and "3 seeds" in text and "best epoch on validation" in text


def plain(text):
    return text.replace(ledger.NBSP, " ")


def test_a_wide_table_puts_ours_below_the_paper_and_cited_work_on_one_line(tmp_path):
    table = papers.find_table("ma-1")
    cells = [
        {
            "row": row,
            "column": column,
            "paper": 50.0,
            "mark": "",
            "ours": 40.04 if row == "MA" else None,
            "sd": 1.0 if row == "MA" else None,
            "seeds": [0, 1],
            "data": "world: w",
            "preset": "quick",
            "selection": "last",
            "verdict": {"MA": "world", "HAN": "not run"}.get(row, "cited"),
        }
        for row in table.rows
        for column in table.columns
        if column.startswith("segment")
    ]
    head, body = ledger.layout(table, cells)
    assert (
        head == ["", "", "Audio", "Visual", "Audio-visual", "Type@AV", "Event@AV"]
        and ledger.caption(table, cells) == "MA, Table 1, segment level, in %"
    )
    assert len(body) == len(table.rows) + 2 and body[0] == ["AVE", "paper", *["50.0"] * 5]
    assert [[plain(text) for text in line] for line in body[-4:]] == [
        ["HAN", "paper", *["50.0"] * 5],
        ["", "ours", *["not run"] * 5],
        ["MA", "paper", *["50.0"] * 5],
        ["", "ours", *["40.0 ± 1.0"] * 5],
    ]
    assert "\n|:--|:--|--:|--:|--:|--:|--:|\n| AVE | paper | 50.0 |" in to_markdown(table, cells)
    assert ledger.layout(table, [{**cell, "paper": None} for cell in cells])[0] == [
        "",
        *head[2:],
    ]  # nothing of the paper's: only ours
    assert ledger.layout(table, [cell for cell in cells if cell["column"] == "segment: Audio"])[
        0
    ] == ["", "Audio: paper", "Audio: ours"]


def test_a_short_name_of_a_row_stays_on_one_line(tmp_path):
    table = papers.find_table("ma-4")
    _, body = ledger.layout(table, table_rows(table, Records(tmp_path)))
    assert body[0][0] == "τ = 0.1".replace(" ", ledger.NBSP) and body[1][0] == ""


def test_a_table_wider_than_a_page_comes_level_by_level(tmp_path):
    table = papers.find_table("ma-1")
    cells = table_rows(table, Records(tmp_path))
    segments, events = ledger.split_levels(table, cells)
    assert {cell["column"].split(": ")[0] for cell in segments} == {"segment"} and len(
        segments
    ) + len(events) == len(cells)
    assert (
        ledger.split_levels(TABLE, rows := table_rows(TABLE, Records(tmp_path))) == [rows]
        and len(
            ledger.split_levels(
                papers.find_table("ma-code"),
                table_rows(papers.find_table("ma-code"), Records(tmp_path)),
            )
        )
        == 1
    )
    text = to_markdown(table, cells)
    assert (
        text.count("| Audio | Visual |") == 2
        and text.index("segment level, in %") < text.index("event level, in %")
        and text.count("Ours: ") == 1
    )


def test_a_caption_names_the_metric_where_there_is_one(tmp_path):
    records = Records(tmp_path)
    told = {
        key: ledger.caption(table, table_rows(table, records))
        for key, table in ((key, papers.find_table(key)) for key in ("psp-1", "cmlcl-4", "ma-2"))
    }
    assert told == {
        "psp-1": "PSP, Table 1, accuracy in %",
        "cmlcl-4": "CMLCL, Table 4, in %",
        "ma-2": "MA, Table 2, in %",
    }


@pytest.mark.parametrize(
    "value, text, signed",
    [
        (-0.04, "0.0", "0.0"),
        (0.04, "0.0", "0.0"),
        (-0.06, "-0.1", "-0.1"),
        (2.25, "2.2", "+2.2"),
        (None, "–", "–"),
        (math.nan, "–", "–"),
    ],
)
def test_what_rounds_to_zero_has_no_sign(value, text, signed):
    assert ledger.format_number(value) == text and ledger.format_number(value, True) == signed


def test_a_figure_stays_on_one_line_with_its_spread_and_an_interval_in_itself():
    assert (
        plain(ledger.with_spread(72.0, 2.0)) == "72.0 ± 2.0"
        and ledger.with_spread(72.0, math.nan) == ledger.with_spread(72.0, None) == "72.0"
    )
    assert (
        plain(ledger.with_interval(-0.5, -2.3, 1.0)) == "-0.5 [-2.3, +1.0]"
        and ledger.with_interval(None, None, None) == "–"
    )
    assert (
        ledger.with_interval(0.5, math.nan, math.nan)
        == ledger.with_interval(0.5, None, None)
        == "+0.5"
    )
    assert (
        " " not in ledger.with_spread(72.0, 2.0) + str(summarise([1.0, 3.0]))
        and ledger.with_interval(-0.5, -2.3, 1.0).count(" ") == 1
    )


@pytest.mark.parametrize(
    "value, text",
    [
        (-0.03, "-0.03"),
        (0.0049, "+0.005"),
        (-0.04996, "-0.05"),
        (0.05, "+0.1"),
        (-2.26, "-2.3"),
        (0.0, "0.0"),
        (-1e-15, "0.0"),
    ],
)
def test_a_bound_tells_its_side_of_zero(value, text):
    assert ledger.bound(value) == text


def test_a_gap_in_words():
    assert (
        ledger.format_gap(None) == "not run"
        and ledger.format_gap(summarise([-1.5])) == "-1.5 (one seed)"
    )
    assert plain(ledger.format_gap(summarise([1.0, 2.0, 3.0]))) == "+2.0 [-0.5, +4.5]"


def test_a_table_says_when_it_stands_on_the_papers_settings(tmp_path):
    put(tmp_path, "psp-full", {}, 0, 70.0)
    put(tmp_path, "psp-full", {}, 0, 60.0, preset="paper")
    put(tmp_path, "psp-full", {}, 0, 77.0, preset="paper", kind="official", data="AVE", hash="o")
    told = {
        (preset, data): ledger.provenance(
            table_rows(TABLE, Records(tmp_path), preset=preset, data=data)
        )
        for preset, data in (("quick", "w"), ("paper", "w"), ("paper", "AVE"))
    }
    assert {at: line.split(";")[0] for at, line in told.items()} == {
        ("quick", "w"): "Ours: data world: w",
        ("paper", "w"): "Ours: data world: w, paper preset",
        ("paper", "AVE"): "Ours: data official: AVE",
    }


@pytest.mark.parametrize(
    "selection, expected", [("val_selected", 70.0), ("last", 69.0), ("test_selected", 71.0)]
)
def test_the_selection_decides_the_figure(tmp_path, selection, expected):
    put(tmp_path, "psp-full", {}, 0, 70.0)
    rows = table_rows(TABLE, Records(tmp_path), selection=selection)
    assert next(r for r in rows if r["row"] == "PSP" and r["column"] == "full")["ours"] == expected


def test_only_official_data_is_judged_against_the_papers_number(tmp_path):
    for seed, accuracy in enumerate((77.0, 78.0, 78.6)):
        put(tmp_path, "psp-full", {}, seed, accuracy, kind="official")
        put(tmp_path, "psp-full", {"prune": "asp"}, seed, accuracy + 4, kind="official")
    by_row = {r["row"]: r["verdict"] for r in table_rows(TABLE, Records(tmp_path), only="full")}
    assert by_row["PSP"] == "agrees" and by_row["ASP"] == "disagrees"


def test_records_of_two_data_sets_are_not_mixed(tmp_path):
    put(tmp_path, "psp-full", {}, 0, 70.0, hash="a")
    put(tmp_path, "psp-full", {}, 1, 70.0, hash="b", data="v")
    with pytest.raises(AvbookError, match="2 data sets"):
        Records(tmp_path).of("psp-full", {})
    assert [r["seed"] for r in Records(tmp_path).of("psp-full", {}, data="v")] == [1]


def test_a_record_without_the_figure_is_named(tmp_path):
    put(tmp_path, "psp-full", {}, 0, 70.0)
    record = Records(tmp_path).of("psp-full")[0]
    with pytest.raises(AvbookError, match="seed-0.json.*mean_iou"):
        ledger.get_score(record, "mean_iou", "last")
    assert compare([record], []).verdict == "not run"


def test_a_figure_with_nothing_to_count_is_not_called_not_run(tmp_path):
    for seed in range(2):
        put(tmp_path, "psp-full", {}, seed, math.nan)
    cell = next(r for r in table_rows(TABLE, Records(tmp_path), only="full") if r["row"] == "PSP")
    assert (cell["ours"], cell["verdict"], ledger.format_cell(cell)[1]) == (
        None,
        "undefined",
        "undefined",
    )
    found = Records(tmp_path).of("psp-full")
    assert (
        compare(found, found).verdict == "undecided"
        and compare(found, found).gap is None
        and compare(found, []).verdict == "not run"
    )


def test_csv_keeps_every_cell(tmp_path):
    import pandas

    put(tmp_path, "psp-full", {}, 0, 70.0)
    ledger.write_csv(tmp_path / "t.csv", table_rows(TABLE, Records(tmp_path)))
    frame = pandas.read_csv(tmp_path / "t.csv")
    assert (
        len(frame) == len(TABLE.cells)
        and frame["ours"].notna().sum() == 1
        and set(frame["verdict"]) == {"world", "not run"}
    )


def test_paper_gaps_follow_from_the_papers_cells():
    gaps = {d.key: d.paper_gap for d in papers.ORDERING_CLAIMS}
    assert (
        gaps["psp-1-full-no-psp"] == 4.1
        and gaps["psp-2-weighting-avel"] == 2.3
        and gaps["psp-4-weak-avel"] == 6.8
    )
    assert len(gaps) == len(papers.ORDERING_CLAIMS)


def test_a_cell_that_stands_in_two_tables_is_one_setting():
    wpsp = papers.find_table("psp-1").cell("WPSP", "full")
    tau_0 = papers.find_table("psp-3").cell("τ = 0", "full")
    assert (wpsp.recipe, wpsp.options) == (
        tau_0.recipe,
        tau_0.options,
    ) and wpsp.value != tau_0.value
