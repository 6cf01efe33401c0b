"""The page of a timeline: whole, escaped, of one file, and nothing in it comes from elsewhere."""

import base64
import html
import io
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from processes import ROOT

from avbook.errors import AvbookError
from avbook.features.small_clip import Thumbnail
from avbook.features.timelines import Timeline
from avbook.features.zero_shot import TimelineEvent
from avbook.show.plots import PALETTE
from avbook.show.timeline_page import PageClip, write_page

HOSTILE = 'it\'s "a" #1 <script>alert(1)</script><!-- é 猫 &amp; {{data}}.mp4'
EVENTS = (
    TimelineEvent(0, 2, "Dog", 0.9, "audio"),
    TimelineEvent(1, 3, "</script><b>Cat</b>", 0.25, "visual"),
)


class Parsed(HTMLParser):
    """The page's tags with their attributes, and the text of each script and title."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag in ("script", "title", "style"):
            self.open = [tag, dict(attributes), ""]
            self.texts.append(self.open)

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, data):
        if self.open:
            self.open[2] += data

    def text(self, tag, **wanted):
        (found,) = (t for name, a, t in self.texts if name == tag and wanted.items() <= a.items())
        return found


def thumbnails(count=3):
    return tuple(Thumbnail(k + 0.5, np.full((12, 20, 3), 60 * k, np.uint8)) for k in range(count))


def patches(seconds=3):
    """Quiet, and loud in the lowest band of the last second."""
    found = np.full((seconds, 96, 64), -6.0, np.float32)
    found[-1, :, 0] = 2
    return found


def clip(name="a.mp4", events=EVENTS, **more):
    return PageClip(Timeline(name, 3, "zero-shot", events, notes=("short: <2 s",)), **more)


def written(path, clips, **options):
    """The page, parsed, and what its script is told."""
    size = write_page(path, clips, **options)
    data = path.read_bytes()
    assert len(data) == size
    page = Parsed(data.decode())
    return page, json.loads(page.text("script", id="data"))


def decoded(address, kind):
    head, _, body = address.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(body, validate=True)


# ----------------------------------------------------------------------------------------- the form
def test_the_page_is_one_file_that_asks_for_no_other(tmp_path):
    video = tmp_path / "a.mp4"
    video.write_bytes(b"a video" * 99)
    page, told = written(
        tmp_path / "a.html", [clip(path=video, thumbnails=thumbnails(), log_mel=patches())]
    )
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "object", "embed", "base"), tag
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, attributes)
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    own = text.replace(page.text("script", id="data"), "")
    assert not re.search(r"https?:|[\"'(]//|@import|url\(|XMLHttp|WebSocket|import\(", own)
    assert decoded(told["clips"][0]["source"], "video/mp4") == video.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.mp4"]


def test_the_page_says_its_language_fits_a_telephone_and_both_schemes(tmp_path):
    page, _ = written(tmp_path / "a.html", [clip()])
    assert ("html", {"lang": "en"}) in page.tags
    metas = {a.get("name"): a.get("content") for tag, a in page.tags if tag == "meta"}
    assert "width=device-width" in metas["viewport"] and metas["color-scheme"] == "light dark"
    style = page.text("style")
    assert "prefers-color-scheme: dark" in style and "max-width: 640px" in style
    assert "@media (prefers" not in style, "on paper it would be white on white"
    assert "print-color-adjust: exact" in style
    assert re.search(r"#now \{ height: ", style), "the timeline below would move as it plays"
    for number, colour in enumerate(PALETTE):
        assert f"--colour-{number}: {colour};" in style


def test_all_that_is_pressed_has_a_name(tmp_path):
    write_page(tmp_path / "a.html", [clip()])
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    buttons = re.findall(r"<button([^>]*)>(.*?)</button>", text)
    assert len(buttons) >= 6
    for attributes, words in buttons:
        assert "aria-label=" in attributes or re.search(r"[A-Z]", words), words
    sections = re.findall(r"<(?:section|nav)([^>]*)>", text)
    assert all("aria-label=" in attributes for attributes in sections)
    assert re.search(r"<label>Speed\s*<select", text)
    live = re.findall(r"<output[^>]*>", text)
    assert live and all('aria-live="off"' in one for one in live), "told ten times a second"


def test_the_script_has_keys_frames_and_the_words_for_a_codec_unknown(tmp_path):
    page, _ = written(tmp_path / "a.html", [clip()])
    (script,) = (t for name, a, t in page.texts if name == "script" and "id" not in a)
    for word in ("ArrowLeft", "ArrowRight", "Home", "End", '" "', "requestAnimationFrame"):
        assert word in script, word
    assert "cannot play" in script and "innerHTML" not in script and "{{" not in script


# ---------------------------------------------------------------------------------- what it is told
def test_events_and_their_styles(tmp_path):
    events = tuple(TimelineEvent(k % 3, k % 3 + 1, f"c{k:02d}", 0.5, "audio") for k in range(33))
    _, told = written(tmp_path / "a.html", [clip(events=events), clip(events=EVENTS)])
    assert told["clips"][0]["events"][1] == {
        "onset": 1, "offset": 2, "event": "c01", "score": 0.5, "modality": "audio",
    }  # fmt: skip
    styles = told["styles"]
    assert styles["c00"] == [0, 0] and styles["c09"] == [1, 1] and styles["c31"] == [7, 3]
    assert len({tuple(styles[f"c{k:02d}"]) for k in range(32)}) == 32
    assert set(styles) == {event.event for event in events + EVENTS}
    assert told["clips"][1]["notes"] == ["short: <2 s"]


@pytest.mark.parametrize("mb", [25, 0])
def test_names_that_mean_something_in_html_are_text(tmp_path, mb):
    video = tmp_path / HOSTILE.replace("/", "-")
    video.write_bytes(b"x" * 1000)
    page, told = written(tmp_path / "out" / "a.html", [clip(HOSTILE, path=video)], embed_mb=mb)
    assert page.text("title") == HOSTILE
    assert told["clips"][0]["name"] == HOSTILE
    assert told["clips"][0]["events"][1]["event"] == "</script><b>Cat</b>"
    assert [a for tag, a in page.tags if tag == "script"] == [
        {"type": "application/json", "id": "data"},
        {},
    ]
    assert not [tag for tag, _ in page.tags if tag == "b"]
    assert not set(page.text("script", id="data")) & set("<>&")  # "<!--" would begin a comment
    text = (tmp_path / "out" / "a.html").read_text(encoding="utf-8")
    assert text.count(html.escape(HOSTILE)) == 2  # title and heading
    if not mb:
        link = told["clips"][0]["source"]
        assert link.isascii() and not set(link) & set("#?<>\"' ")
        assert unquote(link) == f"../{video.name}"


def test_a_video_beside_the_page_is_a_link_from_there(tmp_path):
    for name in ("a:b.mp4", "100%.mp4", "-x ?.mp4"):
        (tmp_path / name).write_bytes(b"x" * 10)
        _, told = written(tmp_path / "a.html", [clip(path=tmp_path / name)], embed_mb=0)
        assert told["clips"][0]["source"].startswith("./")  # no scheme before the colon
        assert unquote(told["clips"][0]["source"]) == f"./{name}"


def test_the_limit_is_that_of_the_file(tmp_path):
    video = tmp_path / "a.webm"
    video.write_bytes(b"x" * 1000)
    _, told = written(tmp_path / "a.html", [clip(path=video)], embed_mb=0.001)
    assert decoded(told["clips"][0]["source"], "video/webm") == b"x" * 1000
    _, told = written(tmp_path / "a.html", [clip(path=video)], embed_mb=0.0009)
    assert told["clips"][0]["source"] == "./a.webm"


def test_frames_and_spectrogram_are_pictures(tmp_path):
    _, told = written(tmp_path / "a.html", [clip(thumbnails=thumbnails(), log_mel=patches())])
    (found,) = told["clips"]
    assert found["picture"] and [frame["time"] for frame in found["frames"]] == [0.5, 1.5, 2.5]
    for number, frame in enumerate(found["frames"]):
        picture = Image.open(io.BytesIO(decoded(frame["source"], "image/jpeg")))
        assert picture.size == (20, 12)
        np.testing.assert_allclose(np.asarray(picture), 60 * number, atol=4)
    grey = {}
    for name, address in found["mel"].items():
        picture = Image.open(io.BytesIO(decoded(address, "image/png")))
        assert picture.size == (3 * 96, 64)
        grey[name] = np.asarray(picture.convert("L")).astype(int)
    loud, quiet = (63, 250), (63, 10)  # the lowest band is at the bottom
    assert grey["light"][loud] < grey["light"][quiet] and grey["dark"][loud] > grey["dark"][quiet]
    assert grey["light"][0, 250] == grey["light"][quiet]


def test_a_long_spectrogram_is_made_narrower_and_keeps_a_click(tmp_path):
    long = np.full((60, 96, 64), -6.0, np.float32)
    long[30, 50] = 1
    _, told = written(tmp_path / "a.html", [clip(log_mel=long)])
    address = told["clips"][0]["mel"]["dark"]
    picture = Image.open(io.BytesIO(decoded(address, "image/png")))
    assert picture.size == (60 * 96 // 2, 64)
    assert np.asarray(picture.convert("L"))[:, (30 * 96 + 50) // 2].min() > 200


def test_without_video_picture_sound_or_event(tmp_path):
    _, told = written(tmp_path / "a.html", [clip(events=())])
    (found,) = told["clips"]
    assert (found["source"], found["mel"], found["frames"], found["events"]) == (None, None, [], [])
    assert not found["picture"] and told["styles"] == {}


# ---------------------------------------------------------------------------------------- bad input
def test_what_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path):
    with pytest.raises(AvbookError, match="no clip"):
        write_page(tmp_path / "a.html", [])
    with pytest.raises(AvbookError, match="b.mp4: no such file"):
        write_page(tmp_path / "a.html", [clip(path=tmp_path / "b.mp4")])
    (tmp_path / "file").write_text("x")
    with pytest.raises(AvbookError, match="is there already|is a file"):
        write_page(tmp_path / "file" / "a.html", [clip()])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_example_of_the_book_is_a_page_of_today():
    """Its style and script are copies: `python tools/show_timeline.py RUN` writes it again."""
    example = (ROOT / "nbs/5_your_videos/example_timeline.html").read_text(encoding="utf-8")
    for name in ("timeline.css", "timeline.js"):
        asset = (ROOT / "avbook/show/assets" / name).read_text(encoding="utf-8")
        assert asset.strip() in example, name
