"""What all explorers share: the output is one safe piece of HTML, small enough, and its script
whole."""

import json
import re

import numpy as np
import pytest

from avbook.errors import AvbookError
from avbook.show.explorers.base import (
    SCRIPTS,
    Explorer,
    audio_samples,
    frame_sheet,
    rounded,
    script,
)

KINDS = [
    path.stem for path in sorted(SCRIPTS.glob("*.js")) if "\nstart(" in path.read_text("utf-8")
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_script_is_whole(kind):
    text = script(kind)
    assert (
        "import " not in text
        and "export " not in text
        and "</script" not in text
        and "<!--" not in text
    )
    assert f'start("{kind}", build);' in text and text.count("const STYLE") == 1
    names = re.findall(r"^(?:async )?(?:function|const|let|class) (\w+)", text, flags=re.M)
    assert len(names) == len(set(names)), "two modules define one name"
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


def test_data_cannot_end_its_script():
    one = Explorer("threshold", "a", {"name": "</script><b>&\u2028"}, b"", "x")
    inside = re.search(r'json">(.*?)</script>', one._repr_html_(), flags=re.S)[1]
    assert json.loads(inside) == {"title": "a", "name": "</script><b>&\u2028"}
    assert not set("<>&") & set(inside)


def test_too_much_data_is_refused():
    with pytest.raises(AvbookError, match="500,000"):
        Explorer("threshold", "a", {"name": "x" * 500_000}, b"", "x")


def test_frames_become_one_image_and_numbers_short():
    sheet = frame_sheet(np.zeros((3, 8, 8, 3), np.uint8))
    assert sheet["count"] == 3 and sheet["source"].startswith("data:image/webp;base64,")
    with pytest.raises(AvbookError, match="uint8"):
        frame_sheet(np.zeros((3, 8, 8, 3)))
    assert rounded(np.array([[0.123456, 1]]), 3) == [[0.123, 1.0]] and rounded(np.array([2])) == [2]


def test_a_script_that_fails_leaves_the_figure(browser):
    import base64

    pixel = base64.b64decode("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")
    page = browser.open(
        Explorer("threshold", "a", {"clips": None}, pixel, "the figure")._repr_html_()
    )
    assert page.get_by_role("img", name="the figure").is_visible()
    assert len(browser.faults) == 1 and "null" in browser.faults.pop()


def test_the_theme_follows_the_page(browser):
    one = Explorer("threshold", "a", {"clips": None}, b"", "x")
    page = browser.open(one._repr_html_())
    browser.faults.clear()
    host = page.locator(".avbook-explorer")
    for change, theme in (
        ("document.body.className = 'quarto-dark'", "dark"),
        ("document.body.className = ''; document.body.dataset.jpThemeLight = 'false'", "dark"),
        ("document.body.dataset.jpThemeLight = 'true'", "light"),
    ):
        page.evaluate(change)
        page.wait_for_function(
            f"document.querySelector('.avbook-explorer').dataset.theme === '{theme}'"
        )
        assert host.get_attribute("data-theme") == theme


def test_audio_comes_back_nearly_unchanged(browser):
    seconds = np.arange(16_000) / 16_000
    wave = 0.5 * np.sin(2 * np.pi * 440 * seconds) * np.exp(-3 * seconds)
    names = "Object.assign(window, { f: decodeAudio, g: audioAddress });"
    page = browser.open(f'<script type="module">{script("audio")}\n{names}</script>')
    stored = audio_samples(wave)
    back = np.array(page.evaluate("audio => [...f(audio)]", stored))
    noise = ((back - wave) ** 2).mean()
    assert 10 * np.log10((wave**2).mean() / noise) > 35
    seconds = page.evaluate(
        """async audio => {
        const player = new Audio(g(audio));
        await new Promise((done, failed) => {
            Object.assign(player, { onloadedmetadata: done, onerror: failed });
        });
        return player.duration;
    }""",
        audio_samples(wave, stored=8_000),
    )
    assert seconds == pytest.approx(1, abs=0.01)
    with pytest.raises(AvbookError, match="mono"):
        audio_samples(np.zeros((2, 10)))
