"""The explorer of τ in a browser: its maps and predictions are the network's, and it is operated by
mouse, keyboard and touch."""

import numpy as np
import pytest
import torch
from browser import overflow, violations
from made_splits import MadeSplit, ave_clips

from avbook.errors import AvbookError
from avbook.show.explorers import explore_threshold
from avbook.show.explorers.base import script
from avbook.show.widgets.threshold import clip_at
from avbook.supervised.psp import PSP

NAMES = ("dog", "cat", "train")


class Data:
    kind, categories = "official", NAMES
    test = MadeSplit(ave_clips())


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    sizes = dict(audio_dim=6, visual_dim=5, positions=4, categories=3, attention_dim=8)
    return PSP(**sizes, bottleneck=7, width=6, hidden=3, head=8)


@pytest.fixture(scope="module")
def explorer(net):
    return explore_threshold(net, Data, [0, 2, 5])


def said(page) -> str:
    return page.locator(".said").inner_text()


def test_the_browser_computes_the_maps_of_the_network(net, explorer, browser):
    page = browser.open(
        f'<script type="module">{script("threshold")}\nwindow.f = threshold;</script>'
    )
    for tau in (0.0, 0.05, 0.095, 0.2, 0.3):
        for row, clip in zip((0, 2, 5), explorer.data["clips"]):
            gamma = page.evaluate("([beta, tau]) => f(beta, tau)", [clip["beta_va"], tau])
            assert (
                np.abs(np.array(gamma) - clip_at(net, Data.test.all, tau, row)["gamma_va"]).max()
                < 1e-3
            )


def test_predictions_are_the_networks_at_every_threshold(net, explorer):
    for tau, index in ((0.0, 0), (0.095, 19), (0.3, 60)):
        for row, clip in zip((0, 2, 5), explorer.data["clips"]):
            assert (
                clip["predicted"][index]
                == clip_at(net, Data.test.all, tau, row)["predicted"].tolist()
            )
    right = [clip_at(net, Data.test.all, 0.095, row) for row in range(6)]
    accuracy = 100 * np.mean([one["predicted"] == one["truth"] for one in right])
    assert explorer.data["test"]["accuracy"][19] == pytest.approx(accuracy, abs=0.01)
    assert explorer.data["paper"] == 0.095


def test_it_is_operated_by_keyboard_and_mouse(net, explorer, browser):
    page = browser.open(explorer._repr_html_())
    kept = (clip_at(net, Data.test.all, 0.095, 0)["gamma_va"] > 0).sum()
    assert said(page).startswith(f"τ = 0.095: {kept} of 100 pairs kept")
    tau = page.get_by_role("slider", name="threshold τ")
    tau.focus()
    page.keyboard.press("Home")
    assert said(page).startswith("τ = 0.000")
    page.keyboard.press("ArrowRight")
    kept = (clip_at(net, Data.test.all, 0.005, 0)["gamma_va"] > 0).sum()
    assert said(page).startswith(f"τ = 0.005: {kept} of 100")
    page.get_by_role("combobox", name="test clip").select_option(index=2)
    kept = (clip_at(net, Data.test.all, 0.005, 5)["gamma_va"] > 0).sum()
    assert said(page).startswith(f"τ = 0.005: {kept} of 100")
    page.get_by_role("radio", name="visual segments").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("radio", name="audio segments").get_attribute("aria-checked") == "true"
    page.locator(".map").first.locator(".pair").nth(73).click()
    assert page.get_by_role("slider", name="receiving segment").input_value() == "7"
    assert page.get_by_text("Audio segment 7 receives").is_visible()


@pytest.mark.parametrize("width, dark", [(1280, False), (768, True), (390, False), (390, True)])
def test_it_fits_and_is_accessible(explorer, browser, width, dark):
    page = browser.open(explorer._repr_html_(), width, dark, touch=width == 390)
    if width == 390:
        page.get_by_role("radio", name="audio segments").tap()
    assert overflow(page) == 0 and violations(page) == []
    assert page.locator(".avbook-explorer").get_attribute("data-theme") == (
        "dark" if dark else "light"
    )


def test_without_scripts_the_figure_is_shown(explorer, browser):
    page = browser.open(explorer._repr_html_(), scripts=False)
    image = page.get_by_role("img", name="Test clip 0 at τ = 0.095")
    assert image.is_visible() and image.bounding_box()["height"] > 200


@pytest.mark.parametrize(
    "options, words",
    [
        ({"clips": [6]}, "expected rows of the test split"),
        ({"taus": [0, 0.1, 0.3]}, "equal steps"),
        ({"taus": [0.1]}, "equal steps"),
    ],
)
def test_what_cannot_be_shown_is_said(net, options, words):
    with pytest.raises(AvbookError, match=words):
        explore_threshold(net, Data, **{"clips": [0]} | options)
