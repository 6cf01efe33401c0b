"""The explorer of exchanged audio in a browser: it drops what the refinement drops, plays frames in
step with the audio, and is operated by mouse, keyboard and touch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from browser import overflow, play_slowly, violations
from made_splits import MadeSplit

from avbook.data.llp import LLP
from avbook.errors import AvbookError
from avbook.parsing.han import HAN
from avbook.parsing.ma import MA
from avbook.parsing.refinement import filter_labels, refine, refinement_scores
from avbook.show.explorers import explore_swap, swap
from avbook.show.explorers.base import audio_samples, frame_sheet, script
from avbook.show.widgets.swap import swap_at
from avbook.world.build import world_folder

SMALL = dict(audio_dim=6, visual_2d_dim=5, visual_3d_dim=4, categories=4, width=8, hidden=8)
NAMES = ("speech", "dog", "cat", "train")
LABELS = [[1, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1], [0, 0, 1, 1], [0, 0, 0, 0]]
PARTNERS = np.array([[3], [2], [1], [0], [0]])
ROWS = [0, 1, 2, 3]


def clips():
    g = torch.Generator().manual_seed(0)
    labels = torch.tensor(LABELS, dtype=torch.float32)
    truth = (torch.rand(2, 5, 4, 4, generator=g) < 0.3).float() * labels[:, None]
    return {
        "audio": torch.randn(5, 4, 6, generator=g),
        "visual_2d": torch.randn(5, 32, 5, generator=g),
        "visual_3d": torch.randn(5, 4, 4, generator=g),
        "video_labels": labels,
        "audio_labels": truth[0],
        "visual_labels": truth[1],
    }


class Data:
    kind, categories = "folder", NAMES

    def __init__(self):
        self.train = MadeSplit(clips())


def media(data, row):
    """Frames that brighten and a tone, for each clip its own."""
    frames = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.full((1, 8, 8, 3), 30, np.uint8)
    tone = np.sin(2 * np.pi * (200 + 100 * row) * np.arange(4 * 8_000) / 8_000)
    return frame_sheet(frames), audio_samples(tone, rate=8_000, stored=8_000)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(2)
    return MA(**SMALL)


@pytest.fixture(scope="module")
def refinement(net):
    return refine(net, Data().train, NAMES, partners=PARTNERS)


@pytest.fixture(scope="module")
def explorer(net, refinement):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swap, "_media", media)
        return explore_swap(net, Data(), refinement, ROWS)


def said(page) -> str:
    return page.locator(".said").inner_text()


def outcomes(page) -> list[list[str]]:
    """What is said of each label, in both panels."""
    panels = page.locator(".panels:not(.bar) > div")
    return [panels.nth(k).locator(".good, .bad").all_inner_texts() for k in (0, 1)]


def test_the_browser_drops_what_python_drops(browser):
    page = browser.open(
        f'<script type="module">{script("swap")}\nwindow.f = filterLabels;</script>'
    )
    rng = np.random.default_rng(0)
    for threshold in (0.1, 0.5, 0.9):
        first, second, errors = rng.random((3, 200)) * [[0.4], [0.4], [1]]
        errors[rng.random(200) < 0.1] = 0
        kept = page.evaluate(
            "([a, b, e, t]) => f(a, b, e, t)",
            [first.tolist(), second.tolist(), errors.tolist(), threshold],
        )
        ours = filter_labels(np.ones((1, 200)), first[None], second[None], errors, threshold)[0]
        assert kept == ours.tolist() and 0 < ours.sum() < 200


def test_words_of_an_outcome_and_of_time(browser):
    names = "Object.assign(window, { o: outcome, s: spansInWords });"
    page = browser.open(f'<script type="module">{script("swap")}\n{names}</script>')
    found = [
        page.evaluate("([k, p]) => o(k, p, 'seen')", [kept, present])
        for kept in (True, False)
        for present in (True, False)
    ]
    assert [one["right"] for one in found] == [True, False, False, True]
    assert found[3] == {"right": True, "did": "dropped", "why": "never seen"}
    assert page.evaluate("s([0, 1, 1, 0, 1])") == "1–3, 4–5 s"
    assert page.evaluate("s([0, 0])") == "never"


def test_probabilities_are_the_networks_for_every_pair(net, refinement, explorer):
    batch = Data().train.batch(ROWS)
    for first, clip in enumerate(explorer.data["clips"]):
        own = [NAMES.index(name) for name in clip["labels"]]
        assert clip["partner"] == PARTNERS[first, 0] and clip["pairs"][first] is None
        for name in ("visual", "audio"):
            np.testing.assert_allclose(
                clip["errors"][name], refinement.errors[name][own], atol=1e-6
            )
        for second in set(ROWS) - {first}:
            found = swap_at(net, batch, first, second)
            for name, values in clip["pairs"][second].items():
                np.testing.assert_allclose(values, found[name][own], atol=1e-6)


def test_totals_are_those_of_the_refinement(net, refinement, explorer):
    train = Data().train
    for at, threshold in ((0, 0.1), (8, 0.5), (16, 0.9)):
        one = refine(net, train, NAMES, partners=PARTNERS, threshold=threshold)
        scores = refinement_scores(one, train.audio_labels, train.visual_labels)
        for name, values in scores.items():
            found = explorer.data["all"][name][at]
            for key, value in values.items():
                assert found[key] == (None if np.isnan(value) else pytest.approx(value, abs=1e-3))
    assert explorer.data["all"]["labels"] == 7 and explorer.data["all"]["clips"] == 5


def test_it_is_operated_by_keyboard_and_mouse(net, refinement, explorer, browser):
    page = browser.open(explorer._repr_html_())
    assert said(page).startswith("Clip 0 as it is")
    page.get_by_role("radio", name="as they are").focus()
    page.keyboard.press("ArrowRight")
    assert said(page).startswith("At threshold 0.50, visual stream:")
    threshold = page.get_by_role("slider", name="threshold")
    batch = Data().train.batch(ROWS)
    for clip, key, value in ((0, "Home", 0.1), (3, "End", 0.9)):
        page.get_by_role("combobox", name="clip").select_option(index=clip)
        threshold.focus()
        page.keyboard.press(key)
        second = PARTNERS[clip, 0]
        found = swap_at(net, batch, clip, int(second), refinement.errors, value)
        labels = np.flatnonzero(found["labels"])
        for panel, stream in enumerate(("visual", "audio")):
            kept = ["kept" if found[stream][c] else "dropped" for c in labels]
            assert [text.split()[1].strip(":") for text in outcomes(page)[panel]] == kept
        assert said(page).startswith(f"At threshold {value:.2f}")
        row = page.get_by_role("row", name="visual")
        dropped = explorer.data["all"]["visual"][0 if value == 0.1 else -1]["dropped"]
        assert f"{round(7 * dropped / 100)} of 7" in row.inner_text()


def test_an_unfit_partner_is_offered_with_a_warning(explorer, browser):
    page = browser.open(explorer._repr_html_())
    partner = page.get_by_role("combobox", name="partner")
    assert partner.locator("option").all_inner_texts() == [
        "1: cat",
        "2 (unfit, shares speech): speech, train",
        "3: cat, train",
    ]
    assert partner.input_value() == "2"  # the one that the refinement drew
    page.get_by_role("radio", name="audio exchanged").click()
    assert "Not a fair test" not in said(page)
    partner.select_option(index=1)
    assert said(page).endswith("Not a fair test: both clips have speech.")


def test_right_and_wrong_are_said_in_words(explorer, browser):
    page = browser.open(explorer._repr_html_())
    page.get_by_role("radio", name="audio exchanged").click()
    clip = explorer.data["clips"][0]
    for panel, verb in enumerate(("seen", "heard")):
        for mask, text in zip(clip[verb], outcomes(page)[panel]):
            why = verb if any(mask) else f"never {verb}"
            right = ("kept" in text) == any(mask)
            assert text == f"{'✓' if right else '✗'} " + (
                f"{'kept' if 'kept' in text else 'dropped'}: {'right' if right else 'wrong'}, {why}"
            )


def test_frames_play_in_step_with_the_audio(explorer, browser):
    page = browser.open(explorer._repr_html_())
    play_slowly(page, 0.125)
    page.get_by_role("radio", name="audio exchanged").click()
    play = page.get_by_role("button", name="Play: frames of clip 0, audio of clip 3")
    place = page.get_by_role("slider", name="second").first
    play.press("Enter")
    pause = page.get_by_role("button", name="Pause: frames of clip 0")
    page.wait_for_function(
        "document.querySelector('.avbook-explorer').shadowRoot"
        ".querySelector('.player input').value >= 0.5"
    )
    page.get_by_role("button", name="Play: frames of clip 3, audio of clip 0").click()
    play.wait_for()  # one at a time
    page.get_by_role("button", name="Pause: frames of clip 3").click()
    assert pause.count() == 0
    place.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    frame = page.get_by_role("img", name="the frame of this second").first
    for second, index in ((3.5, 7), (3.0, 6)):
        assert float(place.input_value()) == second
        position = frame.evaluate("node => parseFloat(node.style.backgroundPosition)")
        assert position == pytest.approx(100 * index / 7, abs=0.01)
        page.keyboard.press("ArrowLeft")


@pytest.mark.parametrize("width, dark", [(1280, False), (768, True), (390, False), (390, True)])
def test_it_fits_and_is_accessible(explorer, browser, width, dark):
    page = browser.open(explorer._repr_html_(), width, dark, touch=width == 390)
    assert overflow(page) == 0 and violations(page) == []
    exchanged = page.get_by_role("radio", name="audio exchanged")
    exchanged.tap() if width == 390 else exchanged.click()
    assert overflow(page) == 0 and violations(page) == []


def test_without_scripts_the_figure_is_shown(explorer, browser):
    page = browser.open(explorer._repr_html_(), scripts=False)
    image = page.get_by_role("img", name="Clip 0 (speech, dog) as it is and after an exchange")
    assert image.is_visible() and image.bounding_box()["height"] > 200


def test_without_frames_and_audio_the_bars_remain(net, refinement, browser):
    page = browser.open(explore_swap(net, Data(), refinement, [0, 3])._repr_html_())
    page.get_by_role("radio", name="audio exchanged").click()
    assert page.locator(".meter").count() == 8 and page.get_by_role("button").count() == 0


def test_a_clip_of_the_world_has_its_frames_and_audio():
    data = LLP(world_folder("llp", "tiny"))
    frames, audio = swap._media(data, 0)
    assert frames["count"] == 20 and audio["rate"] == 8_000
    assert len(audio["samples"]) == pytest.approx(80_000 * 4 / 3, rel=0.01)


def test_what_cannot_be_shown_is_said(net, refinement):
    for rows, words in (
        ([0, 9], "expected rows of the train split"),
        ([0], "two or more different"),
        ([0, 1, 1], "two or more different"),
        ([0, 4], "row 4 has no label"),
    ):
        with pytest.raises(AvbookError, match=words):
            explore_swap(net, Data(), refinement, rows)
    with pytest.raises(AvbookError, match="refine this split"):
        explore_swap(net, Data(), replace(refinement, ids=refinement.ids + 1), ROWS)
    with pytest.raises(AvbookError, match="no partner"):
        explore_swap(net, Data(), replace(refinement, probabilities={}), ROWS)
    with pytest.raises(AvbookError, match="one modality"):
        explore_swap(HAN(**SMALL, modality="visual"), Data(), refinement, ROWS)
    data = Data()
    data.train.audio_labels = None
    with pytest.raises(AvbookError, match="no labels by modality"):
        explore_swap(net, data, refinement, ROWS)
