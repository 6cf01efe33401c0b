"""Numbers in sentences: on the pages of results each is marked with what it rests on, and what it
rests on says the same.

A number with "%" or "points" behind it, or with one decimal and not below 1, stands in a span:
`<span class="evidence" data-recipe="psp-full" data-metric="accuracy">78.1</span>` is looked up in
the run records (`data-options="prune=asp tau=0.1"`, `data-selection`, `data-against="prune=asp"`
for a difference), `<span class="paper" data-table="psp-1" data-row="PSP"
data-column="full">77.8</span>` in the papers' tables. `class="given"` is for a number of the
experiment or of the sentence's own sum. Code, formulas, the interval's 95 % and what stands below
"By hand" or "Exercises" are free."""

import re
from html.parser import HTMLParser

import pytest
from made_records import put
from processes import ROOT

from avbook.experiments.directions import compare
from avbook.experiments.recipe import parse_options
from avbook.experiments.records import Records
from avbook.experiments.tables import get_score, summarise
from avbook.papers import find_table
from avbook.show.pages import read_pages, source

SPAN = re.compile(r"<span class=\"(evidence|paper|given)\"([^>]*)>([^<]*)</span>")
NUMBER = re.compile(
    r"(?<![\w.])[-+−±]?\d+(?:\.\d+)?(?=\s*(?:%|points?\b|per"
    r" cent))|(?<![\w.])[-+−]?(?!0\.)\d{1,3}\.\d(?!\.?\d|\w)"
)
FREE = {"95"}  # the interval's own
PAGES = [
    page
    for page in read_pages(ROOT / "nbs")
    if page.path.startswith("6_evidence/")
    or re.search(r"results|discrepancies|open_questions", page.path)
]


def sentences(cells) -> list[str]:
    """What a page says in its own voice: its Markdown without code, exercises and sums by hand."""
    out, free = [], False
    for cell in cells:
        if cell["cell_type"] != "markdown":
            continue
        text = without_code(source(cell))
        for block in re.split(r"(?m)^(?=#{1,6} )", text):
            heading = re.match(r"#+ (.*)", block)
            free = bool(re.match(r"Exercises|By hand", heading[1])) if heading else free
            out += [] if free else [block]
    return out


def without_code(text: str) -> str:
    """Markdown without listings, code and formulas."""
    return re.sub(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]*\$|<!--.*?-->", " ", text, flags=re.S)


def untagged(text: str) -> list[str]:
    """The numbers of a text that no span holds, each with its surroundings."""
    bare = SPAN.sub(" ", text)
    return [
        bare[max(0, m.start() - 50) : m.end() + 25]
        for m in NUMBER.finditer(bare)
        if m[0] not in FREE
    ]


def wrong(text: str, records: Records) -> list[str]:
    """The spans of a text that differ from what they name."""
    out = []
    for kind, attributes, told in SPAN.findall(text):
        given = {
            name.removeprefix("data-"): value for name, value in Attributes(attributes).items()
        }
        if kind == "given":
            continue
        if kind == "paper":
            cell = find_table(given["table"]).cell(given["row"], given["column"])
            value = None if cell is None else cell.value
        else:
            runs, against = (
                records.of(
                    given["recipe"], parse_options(given[key].split()) if given.get(key) else {}
                )
                for key in ("options", "against")
            )
            metric, selection = given["metric"], given.get("selection", "val_selected")
            gap = (
                compare(runs, against, metric, selection).gap
                if "against" in given
                else summarise(get_score(r, metric, selection) for r in runs)
            )
            value = None if gap is None else gap.mean
        said = told.replace("−", "-").strip()
        decimals = len(said.partition(".")[2])
        if value is None or f"{float(said):.{decimals}f}" != f"{value:.{decimals}f}":
            out.append(
                f"{told!r}, {given}:"
                f" {'nothing there' if value is None else f'{value:.{decimals}f}'}"
            )
    return out


class Attributes(dict):
    def __init__(self, text):
        super().__init__()
        reader = HTMLParser()
        reader.handle_starttag = lambda tag, attrs: self.update(attrs)
        reader.feed(f"<span {text}>")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_numbers_in_sentences_are_marked(page):
    found = [where for text in sentences(page.cells) for where in untagged(text)]
    assert not found, "\n".join(found)


def test_marked_numbers_are_what_they_name():
    records = Records(ROOT / "nbs/records")
    texts = [(page.path, without_code(page.words("markdown"))) for page in read_pages(ROOT / "nbs")]
    found = [f"{path}: {fault}" for path, text in texts for fault in wrong(text, records)]
    assert not found, "\n".join(found)
    assert sum('class="evidence"' in text for _, text in texts) > 0, (
        "nothing is quoted anywhere, so this test tests nothing"
    )


@pytest.mark.parametrize(
    "text, count",
    [
        ("PSP gains 2.1 points", 1),
        ("about 70 % of them", 1),
        ("an accuracy of 77.8 was reached", 1),
        ("at τ = 0.095 in Eq. 3 of 2021", 0),
        ("a 95 % interval over 5 seeds", 0),
        ('PSP gains <span class="given">2.1</span> points', 0),
        ("from 44.8 to 78.6", 2),
        ("version 2.0.1 and Table 3", 0),
        ("a momentum of 0.9", 0),
        ("0.9 points", 1),
    ],
)
def test_what_counts_as_a_number(text, count):
    assert len(untagged(text)) == count


def test_sums_by_hand_and_code_are_free():
    cells = [
        {"cell_type": "markdown", "source": text}
        for text in (
            "## By hand\n\n3.5 points",
            "still 2.5 %",
            "## What we see\n\n`1.5` and $2.5$ and 4.5 %",
            "## Exercises\n\n5.5 %",
        )
    ]
    assert [where.strip()[-5:] for text in sentences(cells) for where in untagged(text)] == [
        "4.5 %"
    ]


def test_a_wrong_digit_is_seen(tmp_path):
    for seed in range(3):
        put(tmp_path, "psp-full", {}, seed, 70.0 + seed)
        put(tmp_path, "psp-full", {"prune": "asp"}, seed, 68.5 + seed)
    records = Records(tmp_path)
    mark = '<span class="evidence" data-recipe="psp-full" data-metric="accuracy"{}>{}</span>'
    assert not wrong(
        mark.format("", "71.0")
        + mark.format(' data-options="prune=asp"', "69.5")
        + mark.format(' data-against="prune=asp"', "+1.5"),
        records,
    )
    assert (
        len(
            wrong(
                mark.format("", "71.1")
                + mark.format(' data-options="prune=wpsp"', "69.5")
                + mark.format(' data-selection="last"', "71"),
                records,
            )
        )
        == 3
    )
    paper = '<span class="paper" data-table="psp-1" data-row="PSP" data-column="full">{}</span>'
    assert (
        not wrong(paper.format("77.8"), records) and len(wrong(paper.format("77.9"), records)) == 1
    )
