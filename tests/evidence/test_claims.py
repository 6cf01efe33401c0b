"""The claims ledger: nothing of the papers is left out, and a verdict is given only where there is
something to judge by."""

import html.parser
import json
import re
import shutil
import subprocess

import pytest
from made_records import put
from processes import PATIENCE, ROOT

from avbook import papers
from avbook.errors import AvbookError
from avbook.evidence.claims import VERDICTS, claim_rows, figures_shown, to_html, totals
from avbook.experiments.records import Records
from avbook.experiments.tables import table_rows
from avbook.show.pages import anchor, read_pages


def row(rows, key, **where):
    (found,) = [r for r in rows if r["key"] == key and all(r[k] == v for k, v in where.items())]
    return found


def test_every_claim_of_the_papers_is_listed(tmp_path):
    rows = claim_rows(Records(tmp_path))
    printed = [
        cell for table in papers.TABLES.values() for cell in table.cells if cell.value is not None
    ]
    assert len(rows) == len(printed) + len(papers.ORDERING_CLAIMS) + len(papers.FIGURES)
    assert len({r["key"] for r in rows}) == len(rows), "two claims with one key"
    assert {r["paper"] for r in rows} == {"PSP", "MA", "CMLCL"} and {
        r["verdict"] for r in rows
    } == {"not run", "cited", "not shown"}
    counted = totals(rows)
    assert sum(line["in all"] for line in counted) == len(rows)
    assert all(line["in all"] == sum(line[v] for v in VERDICTS) for line in counted)


def test_a_number_is_judged_on_official_data_alone(tmp_path):
    for seed, accuracy in enumerate((77.0, 78.0, 78.6)):
        put(tmp_path, "psp-full", {}, seed, accuracy - 20)
        put(
            tmp_path,
            "psp-full",
            {},
            seed,
            accuracy,
            kind="official",
            data="AVE",
            hash="o",
            preset="paper",
        )
    rows = claim_rows(Records(tmp_path))
    world, official = (
        row(rows, "psp-1: PSP, full", data=data) for data in ("world: w", "official: AVE")
    )
    assert (world["verdict"], official["verdict"]) == ("not run", "agrees")
    assert (
        world["ours"] == pytest.approx(official["ours"] - 20)
        and world["printed"] == official["printed"] == 77.8
    )
    assert (
        world["seeds"] == 3
        and world["low"] < world["ours"] < world["high"]
        and world["command"].endswith("--seeds 3")
    )
    assert "validation" in world["protocol"]


def test_directions_are_judged_on_each_data_set_apart(tmp_path):
    for seed in range(3):
        for options, accuracy in (({}, 70.0 + seed), ({"prune": "asp"}, 68.0 + 1.1 * seed)):
            put(tmp_path, "psp-full", options, seed, accuracy)
            put(tmp_path, "psp-full", options, seed, 140 - accuracy, data="v", hash="i")
    rows = claim_rows(Records(tmp_path))
    assert row(rows, "psp-1-full-asp", data="world: w")["verdict"] == "agrees"
    assert row(rows, "psp-1-full-asp", data="world: v")["verdict"] == "disagrees"


def test_the_papers_settings_on_the_world_are_rows_of_their_own(tmp_path):
    for seed in range(3):
        put(tmp_path, "psp-full", {}, seed, 70.0 + seed)
        put(tmp_path, "psp-full", {"prune": "asp"}, seed, 75.0 + 1.1 * seed)
        put(tmp_path, "psp-full", {}, seed, 60.0 + seed, preset="paper")
        put(tmp_path, "psp-full", {"prune": "asp"}, seed, 55.0 + 1.1 * seed, preset="paper")
    rows = claim_rows(Records(tmp_path))
    small, large = (
        row(rows, "psp-1-full-asp", data=data) for data in ("world: w", "world: w, paper preset")
    )
    assert (small["verdict"], large["verdict"]) == ("disagrees", "agrees") and (
        small["tried"],
        large["tried"],
    ) == ("world, small settings", "world, paper's settings")
    assert (
        row(rows, "psp-1: PSP, full")["ours"] == 71.0
    )  # a number once, from the settings that fill the tables
    tried = {
        line["tried on"]: line
        for line in totals(rows)
        if line["paper"] == "PSP" and line["claims"] == "directions"
    }
    assert (
        tried["world, small settings"]["disagrees"]
        == tried["world, paper's settings"]["agrees"]
        == 1
        and tried[""]["not run"] == tried[""]["in all"] > 1
    )
    assert sum(line["in all"] for line in totals(rows)) == len(rows)


def test_two_states_of_one_data_set_are_refused(tmp_path):
    put(tmp_path, "psp-full", {}, 0, 70.0, hash="a")
    put(tmp_path, "psp-full", {"prune": "asp"}, 0, 70.0, hash="b")
    with pytest.raises(AvbookError, match="two states"):
        claim_rows(Records(tmp_path))


def test_an_undecided_row_says_what_it_excludes_and_any_where_the_papers_gap_lies(tmp_path):
    for seed, gap in enumerate((-4.0, 6.0, 1.0)):  # 1 ± 12.42; the paper's: 4.1
        put(tmp_path, "psp-full", {}, seed, 60.0 + gap)
        put(tmp_path, "psp-full", {"prune": "none"}, seed, 60.0)
        put(tmp_path, "psp-full", {"prune": "asp"}, seed, 58.1 + gap + seed / 10)  # 1.8 ± 0.25
        put(tmp_path, "psp-full", {"prune": "wpsp"}, seed, 50.0 + gap + seed / 10)
    rows = claim_rows(Records(tmp_path))
    cells = {cells[0]: cells[-1] for cells in Table(to_html(rows)).rows if cells}
    for key, excludes, inside, said in (
        ("no-psp", 13.42, True, "undecidedless than 13.5 points either waypaper's gap inside"),
        ("asp", None, True, "agreespaper's gap inside"),
        ("wpsp", None, False, "agrees"),
        ("sapsp", None, None, "not run"),
    ):
        found = row(rows, f"psp-1-full-{key}")
        assert found["excludes"] == pytest.approx(excludes, abs=0.01)
        assert found["paper_gap_inside"] is inside
        assert cells[f"{found['claim']}{found['source']} · direction"] == said
    told = {line["claims"]: line for line in totals(rows) if line["tried on"]}
    # WPSP is the τ = 0 of Table 3 as well
    assert told["directions"]["agrees"] == 3 and told["directions"]["undecided"] == 1


def test_the_ledger_says_what_the_tables_say():
    records = Records(ROOT / "nbs/records")
    rows = claim_rows(records)
    for key in ("psp-1", "ma-1"):
        for cell in table_rows(papers.find_table(key), records):
            if cell["paper"] is not None and cell["ours"] is not None:
                found = row(rows, f"{key}: {cell['row']}, {cell['column']}")
                assert (found["ours"], found["low"], found["seeds"]) == (
                    cell["ours"],
                    cell["low"],
                    len(cell["seeds"]),
                )


def test_a_figure_is_shown_where_a_heading_of_its_papers_pages_names_it():
    shown = figures_shown(
        read_pages(ROOT / "nbs"),
        {"psp": "2_supervised", "ma": "3_parsing", "cmlcl": "4_unsupervised"},
    )
    assert shown["psp-fig-4"].startswith("2_supervised/05a_cases.ipynb#figure-4")
    assert not [
        key for key, place in shown.items() if not (ROOT / "nbs" / place.partition("#")[0]).exists()
    ]


@pytest.mark.parametrize(
    "heading, identifier",
    [  # by hand from Pandoc's manual: auto_identifiers
        ("Heading identifiers in HTML", "heading-identifiers-in-html"),
        ("*Dogs*?--in *my* house?", "dogs--in-my-house"),
        ("3. Applications", "applications"),
        ("33", "section"),
        ("[HTML], [S5], or [RTF]?", "html-s5-or-rtf"),
        ("The threshold τ = 0.095", "the-threshold-τ-0.095"),
    ],
)
def test_anchors_are_pandocs(heading, identifier):
    assert anchor(heading) == identifier


class Table(html.parser.HTMLParser):
    """Counts what is open, and keeps the text of each row's cells."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def test_the_page_needs_no_script_and_none_from_elsewhere():
    rows = claim_rows(Records(ROOT / "nbs/records"))
    text = to_html(rows, "../")
    table = Table(text)
    assert (
        not table.open
        and len(table.rows) == len(rows) + 1
        and {len(cells) for cells in table.rows} == {7}
    )
    assert "src=" not in text and "http" not in text
    first = table.rows[1]
    assert (
        first[0].startswith(rows[0]["claim"])
        and first[-1] == rows[0]["verdict"]
        and first[1] == f"{rows[0]['printed']:.1f}"
    )


def test_the_script_filters_and_sorts(tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here: the script of the ledger was not run")
    rows = claim_rows(Records(ROOT / "nbs/records"))
    act = """<script>
      const box = document.getElementById("claims"), selects = box.querySelectorAll("select");
      const seen = () => Array.from(box.querySelectorAll("tbody tr")).filter(r => !r.hidden);
      const say = {};
      say.all = seen().length;
      selects[0].value = "MA"; selects[0].dispatchEvent(new Event("change"));
      say.ma = seen().length;
      selects[1].value = "number"; selects[1].dispatchEvent(new Event("change"));
      const words = box.querySelector("input");
      words.value = "visual ONLY"; words.dispatchEvent(new Event("input"));
      say.words = seen().length;
      box.querySelectorAll("th button")[1].click();
      say.sorted = seen().map(r => r.cells[1].textContent);
      document.body.innerHTML = "<pre id='said'></pre>";
      document.getElementById("said").textContent = JSON.stringify(say);
    </script>"""
    page = tmp_path / "page.html"
    page.write_text(
        f"<!doctype html><meta charset='utf-8'><body>{to_html(rows)}{act}", encoding="utf-8"
    )
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'u'}",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    said = json.loads(re.search(r"<pre id=.said.>(.*?)</pre>", done.stdout, re.S)[1])
    assert said["all"] == len(rows) and said["ma"] == sum(r["paper"] == "MA" for r in rows)
    expected = sorted(
        r["printed"]
        for r in rows
        if r["paper"] == "MA"
        and r["kind"] == "number"
        and "visual" in r["claim"].lower()
        and "only" in r["claim"]
    )
    assert [float(v) for v in said["sorted"]] == expected and said["words"] == len(expected)
