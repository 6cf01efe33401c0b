"""The explorers of the metrics in a browser: every score is the Python one's, on random timelines
and on painted ones, and they are painted by mouse, touch and keyboard."""

import json

import numpy as np
import pytest
from browser import overflow, violations

from avbook.errors import AvbookError
from avbook.metrics.ave import ave_scores
from avbook.metrics.llp import event_counts, llp_scores, segment_counts
from avbook.show.explorers import paint_ave, paint_llp
from avbook.show.explorers.base import script

NAMES = ("dog", "cat", "train", "bus")
TRUTH = np.array([[4, 4, 0, 0, 0, 0, 0, 0, 4, 4], [2] * 10, [4, 4, 4, 4, 1, 1, 4, 4, 4, 4]])
PSP = np.array([[4, 4, 4, 0, 0, 0, 0, 1, 4, 4], [1] * 10, [4] * 10])
AUDIO, VISUAL = np.zeros((2, 3, 10, 4), int)  # three clips of ten seconds, four classes
AUDIO[0, 0:7, 0] = AUDIO[0, 8:9, 0] = AUDIO[0, 2:9, 1] = VISUAL[0, 4:10, 0] = 1
AUDIO[1, 3:5, 2] = 1  # nothing is seen; in clip 2 nothing is heard either
MA = np.roll(AUDIO, 1, axis=1), np.roll(VISUAL, 2, axis=1)


@pytest.fixture(scope="module")
def ave():
    frames = [np.full((10, 8, 8, 3), 90, np.uint8)] * 3
    return paint_ave(TRUTH, NAMES, ["one", "two", "three"], frames=frames, predicted={"PSP": PSP})


@pytest.fixture(scope="module")
def llp():
    return paint_llp(AUDIO, VISUAL, NAMES, ["one", "two", "three"], predicted={"MA": MA})


# --------------------------------------------------------------------------------- as in Python
def module(browser, *names):
    """A page with functions of the metrics module as `window.f.NAME`."""
    return browser.open(
        f'<script type="module">{script("metrics")}\nwindow.f = {{{", ".join(names)}}};</script>'
    )


def evaluate(page, expression: str, values):
    """The expression of `values` in the page; as text, which is faster than nested lists."""
    return page.evaluate(
        f"text => {{ const values = JSON.parse(text); return {expression}; }}", json.dumps(values)
    )


def assert_equal(found, expected):
    assert [list(one) for one in found] == [list(one) for one in expected]
    values = [[list(one.values()) for one in many] for many in (found, expected)]
    np.testing.assert_allclose(*values, rtol=0, atol=1e-9)


def ave_cases(count=400):
    """Pairs of timelines of 1 to 12 segments and 1 to 29 classes: random ones, equal ones, constant
    ones, and some with two classes only, where ties are frequent."""
    rng = np.random.default_rng(0)
    for k in range(count):
        background, shape = int(rng.integers(1, 29)), (int(rng.integers(1, 6)), 1 + k % 12)
        truth, predicted = rng.integers(0, background + 1, (2, *shape))
        if k % 4 == 1:
            truth, predicted = rng.integers(max(0, background - 2), background + 1, (2, *shape))
        if k % 7 == 0:
            predicted = truth.copy()
        if k % 5 == 0:
            truth[:] = background if k % 2 else rng.integers(0, background + 1)
        if k % 9 == 0:
            predicted[:] = background
        yield predicted, truth, background


def test_scores_of_ave_are_the_python_ones(browser):
    cases = list(ave_cases())
    found = evaluate(
        module(browser, "aveScores"),
        "values.map((case_) => f.aveScores(...case_))",
        [[p.tolist(), t.tolist(), background] for p, t, background in cases],
    )
    assert_equal(found, [ave_scores(*case) for case in cases])
    assert any(np.isnan(one["background_recall"]) for one in found)
    assert any(np.isnan(one["mean_iou"]) for one in found)


def llp_cases(count=400):
    """Four masks (N, T, C) of 1 to 12 segments and 1 to 25 classes, from empty to full; a third of
    the predictions lie close to the truth, so that events match."""
    rng = np.random.default_rng(1)
    for k in range(count):
        shape = int(rng.integers(1, 4)), 1 + k % 12, int(rng.choice([1, 2, 3, 25]))
        masks = rng.random((4, *shape)) < rng.choice([0, 0.1, 0.5, 0.8, 1], (4, shape[0], 1, 1))
        if k % 3 == 0:
            masks[:2] = masks[2:] ^ (rng.random((2, *shape)) < 0.08)
        yield masks.astype(int)


def test_scores_of_llp_are_the_python_ones(browser):
    cases = list(llp_cases())
    found = evaluate(
        module(browser, "llpScores"),
        "values.map((masks) => f.llpScores(...masks))",
        [masks.swapaxes(2, 3).tolist() for masks in cases],
    )
    assert_equal(found, [llp_scores(*masks) for masks in cases])


def test_counts_are_the_python_ones_on_all_pairs_of_six_seconds(browser):
    masks = (np.arange(64)[:, None] >> np.arange(6)) % 2 == 1
    predicted, truth = np.repeat(masks, 64, 0), np.tile(masks, (64, 1))
    found = evaluate(
        module(browser, "segmentCounts", "eventCounts"),
        "values.map(([p, t]) => [f.segmentCounts(p, t), f.eventCounts(p, t)])",
        np.stack([predicted, truth], 1).astype(int).tolist(),
    )
    expected = [
        count(predicted[None], truth[None])[:, 0] for count in (segment_counts, event_counts)
    ]
    assert (np.array(found).transpose(1, 2, 0) == np.stack(expected)).all()


def test_each_event_is_counted_once_in_the_table_of_events(browser):
    rng = np.random.default_rng(2)
    pairs = (rng.random((300, 2, 10)) < 0.6).astype(int)
    text = f'<script type="module">{script("paint_llp")}\nwindow.f = matchRows;</script>'
    found = evaluate(
        browser.open(text),
        "values.map(([p, t]) => f(p, t).flatMap((row) => row.counts))",
        pairs.tolist(),
    )
    words = "hit", "missed", "false alarm"
    counts = [[row.count(word) for word in words] for row in found]
    assert (
        np.array(counts) == event_counts(pairs[None, :, 0] > 0, pairs[None, :, 1] > 0)[:, 0].T
    ).all()


# ------------------------------------------------------------------------------------- operated
def figures(page) -> list[list[str]]:
    """The table of scores: of each row the figures, without what changed."""
    return [
        row.locator("td").evaluate_all("all => all.map(one => one.firstChild?.textContent ?? '')")
        for row in page.locator("table").first.locator("tbody tr").all()
    ]


def shown(scores: dict[str, float]) -> list[str]:
    return ["–" if np.isnan(value) else f"{value:.1f}" for value in scores.values()]


def painted(page, lanes=1) -> np.ndarray:
    """The prediction as the labels of the cells say it, (lanes, 10)."""
    labels = page.get_by_role("gridcell").evaluate_all("all => all.map(one => one.ariaLabel)")
    return np.array([label.rsplit("prediction ", 1)[1] for label in labels]).reshape(lanes, -1)


def drag(page, cells, start: int, stop: int):
    """A drag with the mouse from the middle of one cell to that of another, in one step."""
    ends = [cells.nth(at).bounding_box() for at in (start, stop)]
    middle = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in ends]
    page.mouse.move(*middle[0])
    page.mouse.down()
    page.mouse.move(*middle[1])
    page.mouse.up()


def test_a_drag_paints_and_all_figures_follow(ave, browser):
    page = browser.open(ave._repr_html_())
    cells = page.get_by_role("gridcell")
    assert (painted(page) == "background").all()
    page.get_by_role("radio", name="2 cat").click()
    drag(page, cells, 6, 3)
    assert painted(page)[0].tolist() == ["background"] * 3 + ["cat"] * 4 + ["background"] * 3
    mine = np.array([[4, 4, 4, 1, 1, 1, 1, 4, 4, 4]])
    first = ave_scores(mine, TRUTH[:1], background=4)
    assert [row[0] for row in figures(page)] == shown(first) == [row[1] for row in figures(page)]
    said = page.locator(".said").inner_text()
    assert said.startswith("Segments 3 to 6: cat. Accuracy 40.0 %, background recall 100.0 %")
    assert "IoU 66.7 % (+66.7)" in said

    page.get_by_role("combobox", name="clip").select_option(index=1)
    page.get_by_role("button", name="PSP").click()
    both = ave_scores(np.stack([mine[0], PSP[1]]), TRUTH[:2], background=4)
    assert [row[1] for row in figures(page)] == shown(both)
    assert [row[0] for row in figures(page)] == shown(ave_scores(PSP[1:2], TRUTH[1:2], 4))
    page.get_by_role("button", name="undo").click()
    page.get_by_role("button", name="undo").click()  # the one on the first clip
    assert page.get_by_role("combobox", name="clip").input_value() == "0"
    assert (painted(page) == "background").all() and not any(row[1] for row in figures(page))
    assert page.get_by_role("button", name="undo").is_disabled()


def test_it_is_painted_by_keyboard(ave, browser):
    page = browser.open(ave._repr_html_())
    page.get_by_role("radio", name="1 dog").focus()
    page.keyboard.press("3")
    assert page.get_by_role("radio", name="3 train").get_attribute("aria-checked") == "true"
    page.keyboard.press("Tab")
    label = "segment 0, ground truth background, prediction background"
    assert page.evaluate("document.activeElement.shadowRoot.activeElement.ariaLabel") == label
    for key in (
        "ArrowLeft",
        "ArrowRight",
        "ArrowRight",
        "Space",
        "Shift+ArrowRight",
        "End",
        "1",
        "Enter",
    ):
        page.keyboard.press(key)
    assert painted(page)[0].tolist() == ["background"] * 2 + ["train"] * 2 + ["background"] * 5 + [
        "dog"
    ]
    for key in ("0", "Enter", "Home", "ArrowRight", "Tab", "Shift+Tab"):
        page.keyboard.press(key)
    assert painted(page)[0, 9] == "background"
    focused = page.evaluate("document.activeElement.shadowRoot.activeElement.ariaLabel")
    assert focused.startswith("segment 1,"), "the Tab key comes back to the cell that was left"


def test_a_finger_paints_sideways_and_scrolls_up_and_down(ave, browser):
    page = browser.open(ave._repr_html_(), 390, touch=True)
    cells = page.get_by_role("gridcell")
    cells.nth(4).tap()
    assert painted(page)[0].tolist() == ["background"] * 4 + ["dog"] + ["background"] * 5
    page.get_by_role("radio", name="3 train").tap()
    box = cells.nth(5).bounding_box()
    x, y, step = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"] + 1
    touches = page.context.new_cdp_session(page)

    def finger(*places):
        for k, (left, top) in enumerate(places):
            points = [{"x": left, "y": top}]
            kind = "touchMove" if k else "touchStart"
            touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        touches.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    finger(*((x + k * step / 4, y) for k in range(13)))
    assert painted(page)[0].tolist() == ["background"] * 4 + ["dog"] + ["train"] * 4 + [
        "background"
    ]
    before = painted(page)
    finger(*((x, y - 20 * k) for k in range(12)))
    page.wait_for_function("window.scrollY > 50")
    assert (painted(page) == before).all()


def test_starting_predictions_are_what_they_say(ave, browser):
    page = browser.open(ave._repr_html_())
    expected = {
        "ground truth": TRUTH[0],
        "category everywhere": np.zeros(10),
        "one second late": [4, 4, 4, 0, 0, 0, 0, 0, 0, 4],
        "wrong category": np.where(TRUTH[0] == 0, 1, 4),
        "PSP": PSP[0],
        "background everywhere": np.full(10, 4),
    }
    for name, classes in expected.items():
        button = page.get_by_role("button", name=name)
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        classes = np.array(classes, int)
        assert painted(page)[0].tolist() == [(*NAMES, "background")[c] for c in classes]
        scores = ave_scores(classes[None], TRUTH[:1], background=4)
        assert [row[0] for row in figures(page)] == shown(scores)


def test_llp_is_painted_and_its_figures_follow(llp, browser):
    page = browser.open(llp._repr_html_())
    # dog, cat, and train, which is absent: for each its audio and its visual lane
    truth = np.stack([AUDIO[0], VISUAL[0]], 1)[..., :3].transpose(2, 1, 0)  # (C, 2, T)
    assert ((painted(page, 6) == "yes") == truth.reshape(6, 10)).all()
    assert page.get_by_role("grid").get_by_role("rowheader").all_inner_texts()[::5] == [
        "dog, audio",
        "train, visual",
    ]
    drag(page, page.get_by_role("gridcell"), 2, 4)
    mine = truth.copy()
    mine[0, 0, 2:5] = 0
    assert page.locator(".tags").first.inner_text().split("\n") == ["0.29", "0.29", "1.00 ✓"]
    page.get_by_role("gridcell").nth(15).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    focused = page.evaluate("document.activeElement.shadowRoot.activeElement.ariaLabel")
    assert focused.startswith("segment 4, cat, visual: "), "two rows below"
    mine[0, 1, 4:6] = 0
    assert ((painted(page, 6) == "yes") == mine.reshape(6, 10)).all()
    assert page.locator(".said").inner_text().startswith("dog, visual: segments 4 to 5 cleared.")
    four = [side[None] for side in (mine[:, 0], mine[:, 1], truth[:, 0], truth[:, 1])]
    scores = llp_scores(*four, layout="NCT")
    rows = [
        shown({level: scores[f"{level}_{kind}"] for level in ("segment", "event")})
        for kind in ("audio", "visual", "av", "type", "event")
    ]
    assert figures(page) == [row * 2 for row in rows]
    page.get_by_text("The counts of each class").click()
    assert page.get_by_role("row", name="dog, audio 5 / 3 / 0: 0.77 1 / 1 / 2: 0.40").is_visible()
    assert page.get_by_role("row", name="train, Event@AV left out left out").is_visible()


def test_what_llp_starts_from(llp, browser):
    page = browser.open(llp._repr_html_())
    clip = llp.data["clips"][0]
    kinds = [preset["name"] for preset in clip["presets"]]
    starts = {
        name: np.array(p["lanes"]).reshape(3, 2, 10).swapaxes(0, 1)  # (2, C, T)
        for name, p in zip(kinds, clip["presets"])
    }
    truth = starts["ground truth"]
    assert (truth[0].T == AUDIO[0, :, :3]).all() and (truth[1].T == VISUAL[0, :, :3]).all()
    assert not starts["nothing"].any() and (starts["audio in both"] == truth[0]).all()
    assert starts["classes everywhere"].any((0, 2)).tolist() == [True, True, False]
    assert starts["classes everywhere"][:, :2].all()
    assert (starts["one second late"][..., 1:] == truth[..., :-1]).all()
    split, longer = (starts[name] - truth for name in ("one event split", "one second too long"))
    assert split.sum() == -1 and split[0, 0, 3] == -1  # the middle of seconds 0 to 7
    assert longer.sum() == 1 and longer[0, 0, 9] == 1  # after second 8
    assert (starts["MA"][0].T == MA[0][0][:, :3]).all()
    for k, name in enumerate(kinds):
        page.get_by_role("button", name=name).click()
        lanes = np.array(clip["presets"][k]["lanes"])
        assert ((painted(page, 6) == "yes") == lanes).all()
    page.get_by_role("combobox", name="clip").select_option(index=1)
    assert page.get_by_role("button", name="one event split").is_disabled()  # its event has 2 s
    page.get_by_role("combobox", name="clip").select_option(index=2)
    assert page.get_by_text("each score is 100").is_visible()


# ------------------------------------------------------------------------------------ everywhere
@pytest.mark.parametrize("kind", ["ave", "llp"])
@pytest.mark.parametrize("width, dark", [(1280, False), (768, True), (390, False), (390, True)])
def test_it_fits_and_is_accessible(request, browser, kind, width, dark):
    explorer = request.getfixturevalue(kind)
    page = browser.open(explorer._repr_html_(), width, dark, touch=width == 390)
    page.get_by_role("button", name="one second late").click()
    if kind == "llp":
        page.get_by_text("The counts of each class").click()
    assert overflow(page) == 0 and violations(page) == []
    heights = page.locator("button, select, summary, .paint").evaluate_all(
        "all => all.map(one => one.offsetHeight)"
    )
    assert min(heights) >= 36


@pytest.mark.parametrize("kind", ["ave", "llp"])
def test_without_scripts_the_figure_is_shown(request, browser, kind):
    page = browser.open(request.getfixturevalue(kind)._repr_html_(), scripts=False)
    image = page.get_by_role("img", name="one: ")
    assert image.is_visible() and image.bounding_box()["height"] > 100


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: paint_ave(TRUTH, NAMES, ["one"]), "clips has 1 entries for 3"),
        (lambda: paint_ave(TRUTH, NAMES, "123", frames=[]), "frames has 0 entries for 3"),
        (lambda: paint_ave(TRUTH, NAMES, "123", predicted={"PSP": PSP[:2]}), "same videos"),
        (lambda: paint_ave(np.arange(10)[None], "abcdefghij", "1"), "expected 1 to 9"),
        (lambda: paint_ave(np.full((1, 10), 4), NAMES, "1"), "0 categories"),
        (lambda: paint_llp(AUDIO, VISUAL[:2], NAMES, "123"), "four arrays of one shape"),
        (lambda: paint_llp(AUDIO, VISUAL, NAMES[:3], "123"), "3 class names for 4"),
        (lambda: paint_llp(AUDIO, VISUAL, NAMES, "1"), "clips has 1 entries for 3"),
    ],
)
def test_what_cannot_be_shown_is_said(call, words):
    with pytest.raises(AvbookError, match=words):
        call()
