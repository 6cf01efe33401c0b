"""The player: its rows and counts, and that audio, cursor, slider and words keep in step."""

import numpy as np
import pytest
from browser import overflow, play_slowly, violations

from avbook.data.events import Event
from avbook.errors import AvbookError
from avbook.features.decode import Clip
from avbook.features.small_clip import SmallClip
from avbook.features.timelines import Timeline
from avbook.features.zero_shot import TimelineEvent
from avbook.show.explorers import play_clip, play_video
from avbook.show.explorers.base import script

NAMES = ("dog", "cat", "train")
FRAMES = np.zeros((8, 16, 16, 3), np.uint8) + np.arange(8, dtype=np.uint8)[:, None, None, None] * 30
WAVE = 0.3 * np.sin(np.arange(4 * 16_000) / 20)
TRUTH = [0, 0, 3, 3]
METHODS = {"PSP": [0, 0, 0, 3], "AVEL": [1, 1, 3, 3]}


@pytest.fixture(scope="module")
def explorer():
    return play_clip(FRAMES, WAVE, TRUTH, METHODS, NAMES, title="A dog")


def said(page) -> str:
    return page.locator(".said").inner_text()


def at(page) -> float:
    return float(
        page.locator(".axis-in-time").evaluate("node => node.style.getPropertyValue('--at')")
    )


def moved(page, beyond: float):
    """Waits until the cursor has passed a share of the clip."""
    page.wait_for_function(
        "beyond => Number(document.querySelector('.avbook-explorer').shadowRoot"
        ".querySelector('.axis-in-time').style.getPropertyValue('--at')) > beyond",
        arg=beyond,
    )


# ------------------------------------------------------------------------------------------- data
def test_predictions_say_how_many_segments_are_correct(explorer):
    truth, psp, avel = explorer.data["rows"]
    assert truth["correct"] is None and truth["method"] == -1
    assert (psp["correct"], avel["correct"]) == (3, 2)
    assert psp["lanes"] == [{"labels": [0, 0, 0, -1], "wrong": [0, 0, 1, 0]}]
    assert "PSP: 3 of 4 segments correct, AVEL: 2 of 4" in explorer.alt
    assert len(explorer.json()) < 200_000 and explorer.data["audio"]["rate"] == 16_000


def test_masks_are_compared_class_by_class_with_the_row_of_their_name():
    truth = np.zeros((4, 3), bool)
    truth[:2, 0] = truth[1:, 1] = True
    found = np.zeros((4, 3), bool)
    found[:, 1] = found[3, 2] = True
    rows = {"audio events": truth, "visual events": np.zeros((4, 3), bool)}
    one = play_clip(None, None, rows, {"MA": {"audio events": found}}, NAMES)
    audio, visual, ma = one.data["rows"]
    assert [lane["labels"] for lane in audio["lanes"]] == [[0, 0, -1, -1], [-1, 1, 1, 1]]
    assert len(visual["lanes"]) == 1 and ma["name"] == "MA: audio events"
    assert ma["correct"] == int((found == truth).all(1).sum()) == 1
    labels = [lane["labels"] for lane in ma["lanes"]]
    wrong = [lane["wrong"] for lane in ma["lanes"]]
    assert labels == [[-1] * 4, [1] * 4, [-1, -1, -1, 3]], "the missed dog has a lane"
    assert wrong == [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]


def test_events_and_strengths_are_rows_too():
    rows = {"ground truth": [Event("dog", 0, 2)], "heard": np.array([0, 0.25, 1, 0])}
    one = play_clip(None, WAVE, rows, {"PSP": [Event("dog", 0, 1)]})
    truth, heard, psp = one.data["rows"]
    assert psp["correct"] == 3 and truth["lanes"][0]["labels"] == [0, 0, -1, -1]
    assert heard["lanes"][0]["strengths"] == [0, 0.25, 1, 0]


def test_more_than_eight_classes_have_hatches():
    one = play_clip(None, None, np.arange(10), None, [f"class {k}" for k in range(10)])
    hatches = [key["hatch"] is not None for key in one.data["keys"]]
    assert hatches == [False] * 8 + [True] * 2 and one.data["keys"][8]["colour"] == 0


def test_a_video_of_ones_own_is_shown_with_its_timeline():
    times = np.arange(6) / 2 + 0.25
    frames = np.zeros((6, 224, 224, 3), np.uint8)
    clip = Clip("a.mp4", 3.0, 3, times, frames, np.zeros(48_000, np.float32), ())
    events = (TimelineEvent(0, 2, "Dog", 0.9, "audio"), TimelineEvent(1, 3, "Dog", 0.5, "visual"))
    one = play_video(SmallClip(clip, (320, 180)), Timeline("a.mp4", 3, "zero-shot", events))
    assert [row["name"] for row in one.data["rows"]] == ["audio events", "visual events"]
    assert one.data["seconds"] == 3 and one.data["frames"]["aspect"] == pytest.approx(
        16 / 9, abs=0.02
    )
    assert one.data["audio"] is None and one.data["mel"] is None


def test_audio_is_stored_with_fewer_samples_where_it_is_too_much():
    one = play_clip(None, np.tile(WAVE, 6), [0] * 24, None, NAMES)
    assert one.data["audio"]["rate"] == 8_000


@pytest.mark.parametrize(
    "change, words",
    [
        ({"truth": [0, 0]}, "4.0 s .* 2 segments"),
        ({"predictions": {"PSP": [0, 0, 0]}}, "PSP has 3 segments: expected 4"),
        ({"predictions": {"PSP": {"audio": TRUTH}}}, "'audio'.*'ground truth'"),
        ({"truth": None, "predictions": None}, "at least one row"),
        ({"shown": ["MA"]}, "expected some of PSP, AVEL"),
        ({"frames": np.zeros((100, 8, 200, 3), np.uint8)}, "16,383"),
    ],
)
def test_what_cannot_be_shown_is_said(change, words):
    options = {"frames": FRAMES, "samples": WAVE, "truth": TRUTH, "predictions": METHODS}
    with pytest.raises(AvbookError, match=words):
        play_clip(**options | {"names": NAMES} | change)


# ---------------------------------------------------------------------------------------- browser
def test_words_and_spans_are_those_of_the_labels(browser):
    functions = "Object.assign(window, { toldAt, spanAt });"
    page = browser.open(f'<script type="module">{script("player")}\n{functions}</script>')
    g = np.random.default_rng(0)
    truth, psp = g.integers(0, 4, (2, 10))
    data = play_clip(None, None, truth, {"PSP": psp}, NAMES).data
    names = [*NAMES, "background"]
    same = np.r_[False, (truth[1:] == truth[:-1]) & (psp[1:] == psp[:-1])]
    for k in range(10):
        told = page.evaluate(
            "([rows, at, keys]) => toldAt(rows, at, keys)", [data["rows"], k, data["keys"]]
        )
        end = "Correct: PSP." if truth[k] == psp[k] else f"PSP: {names[psp[k]]}."
        assert told == f"{names[truth[k]]}. {end}"
        span = page.evaluate("([rows, at]) => spanAt(rows, at, 10)", [data["rows"], k])
        after = [j for j in range(k + 1, 10) if not same[j]]
        assert span == [max(j for j in range(k + 1) if not same[j]), min([*after, 10])]


def test_keys_move_the_cursor(explorer, browser):
    page = browser.open(explorer._repr_html_())
    assert said(page) == "0–2 s: dog. Correct: PSP. AVEL: cat."
    page.get_by_role("slider", name="position in seconds").focus()
    for key, second in (
        ("ArrowRight", 1), ("Shift+ArrowRight", 1.1), ("ArrowRight", 2.1), ("ArrowLeft", 1.1),
        ("End", 4), ("ArrowRight", 4), ("ArrowLeft", 3), ("Home", 0), ("ArrowLeft", 0),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert at(page) == pytest.approx(second / 4)
        assert page.get_by_text(f"{second:.1f} of 4 s", exact=True).is_visible()
    page.keyboard.press("End")
    assert said(page) == "3–4 s: background. Correct: PSP, AVEL."


def test_it_is_moved_by_mouse_and_touch(explorer, browser):
    for touch in (False, True):
        page = browser.open(explorer._repr_html_(), 390 if touch else 1280, touch=touch)
        row = page.get_by_role("img", name="PSP:")
        box = row.bounding_box()
        place = (box["x"] + 0.625 * box["width"], box["y"] + box["height"] / 2)
        if touch:
            page.touchscreen.tap(*place)
        else:
            page.mouse.move(box["x"] + 2, place[1])
            page.mouse.down()
            page.mouse.move(*place)
            page.mouse.up()
            page.mouse.move(box["x"], place[1])  # not held any more
        assert at(page) == pytest.approx(0.625, abs=0.01)
        assert said(page) == "2–3 s: background. Correct: AVEL. PSP: dog."
        page.get_by_text("frames", exact=True).click()  # a label is not part of the axis
        assert at(page) == pytest.approx(0.625, abs=0.01)


def test_the_cursor_follows_the_audio_and_words_change_with_the_labels(explorer, browser):
    page = browser.open(explorer._repr_html_())
    page.locator(".said").evaluate(
        "node => { window.changes = 0; new MutationObserver(() => { window.changes += 1; })"
        ".observe(node, { childList: true, characterData: true, subtree: true }); }"
    )
    page.get_by_role("combobox", name="speed").select_option("2")
    page.get_by_role("button", name="Play").click()
    moved(page, 0.999)  # to the end
    page.get_by_role("button", name="Play").wait_for()
    assert 1 <= page.evaluate("changes") <= 2, "the labels change twice"
    assert said(page) == "3–4 s: background. Correct: PSP, AVEL."
    page.get_by_role("button", name="Mute").click()
    assert page.get_by_role("button", name="Mute").get_attribute("aria-pressed") == "true"


def test_it_is_paused_and_plays_on(explorer, browser):
    page = browser.open(explorer._repr_html_())
    play_slowly(page)
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    page.keyboard.press("Space")  # at the end: from the start
    moved(page, 0.001)
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Shift+ArrowRight")  # the button has the focus: not a key of the player
    page.get_by_role("button", name="Pause").click()
    stopped = at(page)
    assert page.get_by_role("button", name="Play").is_visible() and 0 < stopped < 1
    page.get_by_role("slider").focus()
    page.keyboard.press("Space")
    moved(page, stopped)
    page.keyboard.press("Space")
    page.get_by_role("button", name="Play").wait_for()


def test_a_clock_moves_the_cursor_where_audio_cannot_be_played(explorer, browser):
    for body in (explorer, play_clip(FRAMES, None, TRUTH, METHODS, NAMES)):
        page = browser.open(body._repr_html_())
        page.evaluate(
            "() => { HTMLMediaElement.prototype.play ="
            " () => Promise.reject(new DOMException('', 'NotSupportedError')); }"
        )
        page.get_by_role("combobox", name="speed").select_option(index=0)  # time to act
        page.get_by_role("button", name="Play").click()
        moved(page, 0.001)
        page.get_by_role("button", name="Pause").click()
        assert page.get_by_role("button", name="Mute").count() == 0
        assert ("cannot be played" in said(page)) == (body is explorer)


def test_with_reduced_motion_the_cursor_goes_by_seconds(explorer, browser):
    page = browser.open(explorer._repr_html_())
    page.emulate_media(reduced_motion="reduce")
    page.reload()
    page.get_by_role("button", name="Play").click()
    moved(page, 0.2)
    assert (4 * at(page)).is_integer()


def test_one_plays_at_a_time_and_rows_are_chosen(explorer, browser):
    page = browser.open(2 * explorer._repr_html_())
    play_slowly(page)
    first, second = page.locator(".avbook-explorer").all()
    first.get_by_role("button", name="Play").click()
    second.get_by_role("button", name="Play").click()
    assert first.get_by_role("button", name="Play").is_visible()
    second.get_by_role("button", name="Pause").click()
    avel = first.get_by_role("button", name="AVEL")
    assert first.get_by_role("img", name="AVEL:").is_visible()
    avel.press("Enter")
    assert first.get_by_role("img", name="AVEL:").count() == 0
    assert avel.get_attribute("aria-pressed") == "false"
    assert first.locator(".said").inner_text() == "0–2 s: dog. Correct: PSP."


@pytest.mark.parametrize("width, dark", [(1280, False), (768, True), (390, False), (390, True)])
def test_it_fits_and_is_accessible(explorer, browser, width, dark):
    page = browser.open(explorer._repr_html_(), width, dark, touch=width == 390)
    assert overflow(page) == 0 and violations(page) == []
    theme = "dark" if dark else "light"
    assert page.locator(f".mel > .{theme}").is_visible()
    for control in page.locator("button, select, input").all():
        assert control.bounding_box()["height"] >= 36


def test_without_scripts_the_figure_is_shown(explorer, browser):
    page = browser.open(explorer._repr_html_(), scripts=False)
    image = page.get_by_role("img", name="A dog: frames, spectrogram")
    assert image.is_visible() and image.bounding_box()["height"] > 200
