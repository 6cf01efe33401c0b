"""The explorer of neighbours in a browser: its sets are those of label contrast, its loss and pull
what torch computes, and it is operated by mouse, keyboard and touch."""

import numpy as np
import pytest
import torch
from browser import overflow, violations

from avbook.errors import AvbookError
from avbook.show.explorers import explore_neighbours
from avbook.show.explorers.base import script
from avbook.unsupervised.label_contrast import kl, label_contrast
from avbook.unsupervised.neighbours import contrastive_sets

N, C = 24, 5
TRUTH = np.arange(N) % 3


class Split:
    labels = np.eye(4)[np.repeat(TRUTH[:, None], 10, 1)]
    rows = np.arange(N)

    def __len__(self):
        return N


class Data:
    kind, categories, train = "official", ("dog, bark", "cat", "train"), Split()


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


VECTORS = {"learned": random(N, 6) + 2 * torch.eye(6)[TRUTH], "input": random(N, 6, seed=1)}
HEADS = {
    "untrained": random(N, C, seed=2).mul(0.3).log_softmax(1),
    "trained": random(N, C, seed=3).mul(4).log_softmax(1),
}


@pytest.fixture(scope="module")
def explorer():
    return explore_neighbours(Data, VECTORS, HEADS, [0, 4, 11], k=3, most=8)


@pytest.fixture
def functions(browser):
    """The module's functions, called with lists."""
    names = "contrastParts, pullOn, descent, fit, fitAlong, selected"
    page = browser.open(
        f'<script type="module">{script("neighbours")}\nwindow.f = {{ {names} }};</script>'
    )
    return lambda name, *values: page.evaluate(
        "([name, values]) => f[name](...values)", [name, values]
    )


@pytest.mark.parametrize("spread", [0.5, 5])  # without and with divergences above the cap
def test_loss_and_pull_are_those_of_torch(functions, spread):
    own, near, far = (
        random(*shape, seed=seed).mul(spread).double().log_softmax(-1)
        for seed, shape in enumerate([(C,), (6, C), (6, C)])
    )
    cap, right = float(np.log(C)), [True, False, True, True, False, False]
    lists = [own.tolist(), near.tolist(), far.tolist(), cap]
    logits = own.clone().requires_grad_(True)
    loss = label_contrast(logits.log_softmax(0)[None], near[None], far[None])
    (slope,) = torch.autograd.grad(loss, logits)

    parts = functions("contrastParts", *lists)
    assert parts["loss"] == pytest.approx(loss.item(), abs=1e-12)
    assert np.allclose(parts["attract"], kl(own, near)) and np.allclose(
        parts["repel"], kl(own, far)
    )
    assert parts["capped"] == int((kl(own, far) > cap).sum()) and (parts["capped"] > 0) == (
        spread > 1
    )
    pull = functions("pullOn", *lists, right)
    assert np.allclose(pull["sum"], -slope, atol=1e-12)
    logits = own.clone().requires_grad_(True)
    some = kl(logits.log_softmax(0), near)[torch.tensor(right)].sum() / 6
    assert np.allclose(pull["right"], -torch.autograd.grad(some, logits)[0], atol=1e-12)
    path = functions("descent", *lists, 2, 0.1)
    assert np.allclose(path[0], own) and np.allclose(path[1], (own - 0.1 * slope).log_softmax(0))
    assert len(path) == 3 and np.allclose(np.exp(path).sum(1), 1)


def test_the_fit_and_its_slope(functions):
    own, favour, pull = random(C).log_softmax(0), random(C, seed=1), random(C, seed=2)
    lists = [own.tolist(), favour.tolist()]
    logits = own.clone().requires_grad_(True)
    fit = (logits.softmax(0) * favour).sum()
    assert functions("fit", *lists) == pytest.approx(fit.item(), abs=1e-6)
    slope = torch.autograd.grad(fit, logits)[0] @ pull
    assert functions("fitAlong", *lists, pull.tolist()) == pytest.approx(slope.item(), abs=1e-6)


def test_what_is_selected_are_the_sets_in_order(explorer, functions):
    data = explorer.data
    for vectors, x in enumerate(VECTORS.values()):
        sets = contrastive_sets(x, 5)
        for clip, row in enumerate((0, 4, 11)):
            choice = {"clip": clip, "vectors": vectors, "head": 1, "k": 5}
            now = functions("selected", data, choice)
            for which, members in (("near", sets.affinity[row]), ("far", sets.repulsion[row])):
                assert [data["shown"][one["at"]][0] for one in now[which]] == members.tolist()
                cosines = torch.cosine_similarity(x[members], x[row][None])
                assert np.allclose([one["cosine"] for one in now[which]], cosines, atol=0.006)
                right = (TRUTH[members] == TRUTH[row]) == (which == "near")
                assert [one["right"] for one in now[which]] == right.tolist()
                labels = [one["label"] for one in now[which]]
                assert np.allclose(labels, HEADS["trained"][members], atol=0.006)


def test_shares_and_directions_over_all_clips(explorer):
    sets = contrastive_sets(VECTORS["learned"], 4)
    near = TRUTH[sets.affinity] == TRUTH[:, None]
    far = TRUTH[sets.repulsion] != TRUTH[:, None]
    learned = explorer.data["vectors"][0]
    assert learned["near"]["right"][3] == pytest.approx(100 * near.mean(), abs=0.06)
    assert learned["far"]["right"][3] == pytest.approx(100 * far.mean(), abs=0.06)

    log_p, counted = HEADS["trained"], np.zeros((5, 2), int)
    for row in range(N):
        own, same = log_p[row].clone().requires_grad_(True), TRUTH == TRUTH[row]
        label = own.log_softmax(0)
        a, r = log_p[sets.affinity[row]], log_p[sets.repulsion[row]]
        (slope,) = torch.autograd.grad(
            label_contrast(label[None], a[None], r[None]), own, retain_graph=True
        )
        # closer, in KL, to the clips of its category than to the others
        gap = kl(label, log_p[~same]).mean() - kl(label, log_p[same]).mean()
        (rise,) = torch.autograd.grad(gap, own)
        counted[near[row].sum()] += [1, int(-slope @ rise > 0)]
    assert explorer.data["heads"][1]["towards"][0][3] == counted.tolist()


def said(page) -> list[str]:
    return page.locator(".said").all_inner_texts()


def test_it_is_operated_by_keyboard_and_mouse(explorer, browser):
    page = browser.open(explorer._repr_html_())
    sets = contrastive_sets(VECTORS["learned"], 8)

    def counts(row, k, sets=sets):
        near, far = TRUTH[sets.affinity[row, :k]], TRUTH[sets.repulsion[row, :k]]
        return (
            f"K = {k}: {(near == TRUTH[row]).sum()} of the nearest have the clip's category, "
            f"{(far != TRUTH[row]).sum()} of the farthest have another."
        )

    assert said(page)[0].startswith(counts(0, 3))
    page.get_by_role("slider", name="K, clips in each set").focus()
    page.keyboard.press("ArrowRight")
    assert said(page)[0].startswith(counts(0, 4))
    assert page.locator(".card").count() == 1 + 2 * 4
    page.get_by_role("combobox", name="training clip").select_option(index=2)
    assert said(page)[0].startswith(counts(11, 4))
    page.get_by_role("radio", name="learned").focus()
    page.keyboard.press("ArrowRight")
    assert said(page)[0].startswith(counts(11, 4, contrastive_sets(VECTORS["input"], 8)))

    assert "Take steps" in said(page)[1]
    page.get_by_role("button", name="one step more").click()
    assert said(page)[1].startswith("1 step: loss ")
    steps = page.get_by_role("slider", name="gradient steps")
    steps.focus()
    page.keyboard.press("End")
    assert said(page)[1].startswith("30 steps: loss ")
    assert page.get_by_role("button", name="one step more").is_disabled()
    before = said(page)[1]
    page.get_by_role("radio", name="trained", exact=True).click()
    assert said(page)[1] != before and "at the cap of 1.61 nats" in page.inner_text(".explorer")


@pytest.mark.parametrize("width, dark", [(1280, False), (768, True), (390, False), (390, True)])
def test_it_fits_and_is_accessible(explorer, browser, width, dark):
    page = browser.open(explorer._repr_html_(), width, dark, touch=width == 390)
    if width == 390:
        page.get_by_role("button", name="one step more").tap()
        assert said(page)[1].startswith("1 step")
    assert overflow(page) == 0 and violations(page) == []


def test_without_scripts_the_figure_is_shown(explorer, browser):
    page = browser.open(explorer._repr_html_(), scripts=False)
    image = page.get_by_role("img", name="Training clip 0 with its 3 most similar")
    assert image.is_visible() and image.bounding_box()["height"] > 200


def test_frames_lie_in_sheets(monkeypatch, browser):
    module = "avbook.show.explorers.neighbours"
    grey = [np.full((64, 64, 3), 10 * i, np.uint8) for i in range(N)]
    monkeypatch.setattr(f"{module}.clip_frames", lambda data, split, rows, size: grey[: len(rows)])
    monkeypatch.setattr(f"{module}.SHEET", 10)
    one = explore_neighbours(Data, VECTORS, HEADS, [0], k=3, most=10)
    assert [sheet["count"] for sheet in one.data["frames"]][:1] == [10]
    page = browser.open(one._repr_html_())
    assert page.locator(".card .frame").count() == 7


@pytest.mark.parametrize(
    "options, words",
    [
        ({"clips": [N]}, "expected rows of the train split"),
        ({"k": 9}, "1 <= k <= most < 24"),
        ({"most": N}, "1 <= k <= most < 24"),
        ({"heads": {"short": HEADS["trained"][1:]}}, "'short' has shape"),
        ({"vectors": {"flat": torch.zeros(N)}}, "'flat' has shape"),
    ],
)
def test_what_cannot_be_shown_is_said(options, words):
    given = {"vectors": VECTORS, "heads": HEADS, "clips": [0], "k": 3, "most": 8} | options
    with pytest.raises(AvbookError, match=words):
        explore_neighbours(Data, **given)
