"""Every numbered equation of the three papers has code, a page that names it and a test; and the
tests that some of them lacked."""

from pathlib import Path

import numpy as np
import pytest
import torch
from processes import ROOT

from avbook import papers
from avbook.evidence.equations import equation_rows, gaps, named_equations, read_tests, to_markdown
from avbook.parsing.han import HybridAttention
from avbook.parsing.refinement import swap_modalities
from avbook.show.pages import read_pages
from avbook.unsupervised.em import expectation, relevance_pool
from avbook.unsupervised.label_contrast import assign_pseudo_labels

NUMBERED = {"psp": 11, "ma": 8, "cmlcl": 17}  # how many equations each paper numbers


@pytest.fixture(scope="module")
def rows():
    return equation_rows(read_pages(ROOT / "nbs"), read_tests(ROOT / "tests"))


def test_the_register_holds_every_numbered_equation():
    assert {key: sorted(numbers) for key, numbers in papers.EQUATIONS.items()} == {
        key: list(range(1, n + 1)) for key, n in NUMBERED.items()
    }


@pytest.mark.parametrize("key", NUMBERED)
def test_no_equation_lacks_code_a_page_or_a_test(rows, key):
    assert not gaps([row for row in rows if row["paper"] == key])


def test_a_gap_is_seen(rows, tmp_path):
    pages = read_pages(ROOT / "nbs")
    untested = gaps(equation_rows(pages, read_tests(tmp_path)))
    assert sum("no test mentions" in gap for gap in untested) == sum(NUMBERED.values())
    assert "psp Eq. 1: no test mentions avbook.supervised.psp.pair_similarity" in untested
    unexplained = gaps(
        equation_rows(
            [p for p in pages if "supervised.psp" not in p.exports], read_tests(ROOT / "tests")
        )
    )
    assert "psp Eq. 2: no page exports avbook.supervised.psp.threshold_affinity" in unexplained


def test_the_links_lead_to_the_lines(rows):
    for row in rows:
        for code in row["code"]:
            lines = (ROOT / code.file).read_text(encoding="utf-8").splitlines()[code.line - 1 :]
            assert any(
                line.startswith(("def ", "class ")) and code.name.rpartition(".")[2] in line
                for line in lines[:3]
            ), code
    text = to_markdown(rows, "psp", "../", "https://example.org")
    assert text.count("\n| ") == NUMBERED["psp"] and "avbook/supervised/psp.py#L" in text


def test_a_row_links_to_the_typeset_formula(rows):
    pages = {page.path: page.words("markdown") for page in read_pages(ROOT / "nbs")}
    typeset = [(row, place) for row in rows for place in row["typeset"]]
    assert len(typeset) >= 25
    for row, place in typeset:
        path, _, anchor = place.partition("#")
        assert anchor == f"eq-{row['paper']}-{row['number']}"
        formula = pages[path].partition(f'<span id="{anchor}"></span>')[2].lstrip()
        assert formula.startswith("$$"), f"{place}: no formula below the anchor"
    third = next(row for row in rows if (row["paper"], row["number"]) == ("psp", 3))
    assert third["typeset"] == ["2_supervised/03_psp.ipynb#eq-psp-3"]
    text = to_markdown([third], "psp", "../", "https://example.org")
    assert "[03_psp](../2_supervised/03_psp.ipynb#eq-psp-3) | [`psp.propagate`](" in text
    nowhere = to_markdown([{**third, "typeset": []}], "psp", "../", "https://example.org")
    assert f"(../{third['explained'][0]})" in nowhere


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("Eq. 3", {3}),
        ("Eq. 3-5 and Eq. 9", {3, 4, 5, 9}),
        ("Equations 1, 2 and 7", {1, 2, 7}),
        ("Eq. 12 to 14", {12, 13, 14}),
        ("Table 3, equal 4", set()),
        ("(Eqs. 6 and 7)", {6, 7}),
    ],
)
def test_what_a_text_names(text, numbers):
    assert named_equations(text) == numbers


def test_a_mention_counts_through_helpers_of_the_file(tmp_path):
    Path(tmp_path / "test_one.py").write_text(
        "SIZE = keep_positive\ndef helper(x):\n    return propagate(x)\ndef test_a():\n   "
        " helper(SIZE)\ndef test_b():\n    '''says propagate'''\n    other()\n"
    )
    a, b = read_tests(tmp_path)
    assert (
        {"propagate", "keep_positive", "helper"} <= a.mentions
        and "propagate" not in b.mentions
        and (a.name, a.line) == ("test_a", 4)
    )


# ----------------------------------------------------------------------------------- MA, Eq. 2 to 5
def test_hybrid_attention_gathers_from_both_tracks_second_by_second():
    torch.manual_seed(0)
    layer = HybridAttention(6, 5).eval()
    sound, picture = torch.randn(2, 1, 4, 6)

    def gathered(attention, x, source):  # Eq. 1 in loops
        q, k, v = (part[0] for part in attention.queries_keys_values(x, source))
        out = torch.zeros(len(q), v.shape[-1])
        for t in range(len(q)):
            weights = torch.tensor(
                [float(q[t] @ k[s]) / q.shape[-1] ** 0.5 for s in range(len(k))]
            ).softmax(0)
            out[t] = sum(weights[s] * v[s] for s in range(len(k)))
        return attention.out(out)

    for own, other in ((sound, picture), (picture, sound)):  # Eq. 2 and Eq. 3: one layer for both
        summed = own[0] + gathered(layer.own, own, own) + gathered(layer.cross, own, other)
        normed = layer.first(summed)
        torch.testing.assert_close(layer(own, other)[0], layer.second(normed + layer.feed(normed)))
    assert not torch.allclose(layer(sound, picture), layer(sound, sound))


class Names:
    """A net of two tracks whose probabilities say whose sound and whose picture met."""

    def fuse(self, tracks):
        met = torch.stack([tracks["f_a"][:, 0, 0], tracks["f_v"][:, 0, 0]], -1)
        return {"video_audio": met, "video_visual": -met}


def test_exchange_assembles_each_clip_twice():
    tracks = {name: torch.arange(3.0).view(3, 1, 1) for name in ("f_a", "f_v")}
    out = swap_modalities(Names(), tracks, np.array([[1], [2], [-1]]))
    np.testing.assert_array_equal(
        out["p_a_a"][:2], [[1, 0], [2, 1]]
    )  # Eq. 4: the own picture (second) with the partner's sound (first)
    np.testing.assert_array_equal(
        out["p_v_a"][:2], [[0, 1], [1, 2]]
    )  # Eq. 5: the own sound with the partner's picture
    np.testing.assert_array_equal(out["p_v_v"][:2], -out["p_v_a"][:2])
    assert all(np.isnan(values[2]).all() for values in out.values()), (
        "a clip without a partner is not exchanged"
    )


# ------------------------------------------------------------------------------------ CMLCL, Eq. 13
def test_the_e_step_labels_the_clips_by_their_relevant_seconds():
    """Ten clips of two kinds: only the second that γ points at tells them apart, all others are
    alike."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 4, 6, generator=generator).repeat(10, 1, 1)
    features[:, 2] = torch.eye(6)[[0, 1] * 5] + 0.01 * torch.randn(10, 6, generator=generator)
    gamma = torch.zeros(10, 4)
    gamma[:, 2] = 1
    options = {"categories": 2, "k": 3, "hidden": 16, "epochs": 60, "batch_size": 10, "seed": 0}
    told = expectation(features, gamma, **options)
    assert (
        len(set(told.labels[::2].tolist())) == len(set(told.labels[1::2].tolist())) == 1
        and told.labels[0] != told.labels[1]
    )
    torch.testing.assert_close(told.probabilities.sum(1), torch.ones(10))
    torch.testing.assert_close(
        told.probabilities.argmax(1), told.labels
    )  # Eq. 13: Z is the most probable category
    direct = assign_pseudo_labels(relevance_pool(features, gamma), **options)
    torch.testing.assert_close(told.probabilities, direct.probabilities, rtol=0, atol=0)
