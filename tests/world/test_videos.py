"""The world's clips as video files: the right clip under the right name, whole or nothing,
continued, and features that are those of the direct road."""

import json
import shutil
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import pytest

from avbook.data.annotations import read_annotations, read_videos
from avbook.data.spec import LLP_SPEC
from avbook.errors import AvbookError
from avbook.features.decode import read_clip
from avbook.world import build, videos
from avbook.world.audio import render_sound
from avbook.world.build import clip_features, open_clip, open_clips, world_dims
from avbook.world.clips import sample_scripts
from avbook.world.video import render_frames
from avbook.world.videos import (
    VIDEO_FPS,
    VideoForm,
    video_features,
    write_clip,
    write_videos,
    write_world_videos,
)

pytest.importorskip("av", reason="PyAV is not installed: pip install 'avbook[clips]'")
SMALL = {"side": 32, "fps": 4, "workers": 1}
# what the road by a file of 224 pixels may cost, by extractor: the least cosine of a second's
# features with those of the direct road, and the largest distance, over their length
TOLERANCE = {
    "audio": (0.985, 0.2),
    "visual": (0.99, 0.15),
    "visual_2d": (0.99, 0.15),
    "visual_3d": (0.98, 0.2),
}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """A few clips of each task, with features that cost nothing, and their videos."""
    folder = tmp_path_factory.mktemp("worlds")

    def made(clip, task, dims, features):
        shapes = build.feature_shapes(task, dims)
        return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "clip_features", made)
        patch.setattr(build, "NEGATIVES", 0.4)
        for task in build.SIZES:
            patch.setitem(build.SIZES[task], "tiny", (3, 1, 1))
        return {
            task: write_world_videos(folder / task, task, "tiny", seed=2, **SMALL)
            for task in build.SIZES
        }


@pytest.fixture
def begun(worlds, tmp_path):
    """A world without its videos, to write them anew."""
    return shutil.copytree(
        worlds["ave"], tmp_path / "w", ignore=shutil.ignore_patterns("videos*", ".videos*")
    )


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# ---- names and contents


def test_videos_are_named_as_the_annotations_name_them(worlds):
    rows = read_annotations(worlds["ave"] / "Annotations.txt")
    found = files(worlds["ave"] / "videos")
    background = {f"background/W002b{k:06d}.mp4" for k in range(2)}
    assert set(found) == {f"{row.id}.mp4" for row in rows} | background
    lists = [read_videos(worlds["llp"] / file) for file in LLP_SPEC.split_files.values()]
    names = {video.name for some in lists for video in some}
    assert set(files(worlds["llp"] / "videos")) == {f"{name}.mp4" for name in names}


@pytest.mark.parametrize("task", ["ave", "llp"])
def test_a_video_shows_and_sounds_as_its_clip(worlds, task):
    clip = open_clip(worlds[task], 1)
    name = clip.id if task == "ave" else clip.file_name
    found = read_clip(worlds[task] / f"videos/{name}.mp4", SMALL["fps"])
    assert (found.segments, found.notes) == (10, ())
    drawn = render_frames(clip, SMALL["side"], SMALL["fps"]).astype(float)
    assert found.frames.shape == drawn.shape
    apart = np.abs(found.frames[:, None] - drawn[[0, 13, 39]]).mean((2, 3, 4))
    assert apart.argmin(0).tolist() == [0, 13, 39] and apart.min() < 8
    made = render_sound(clip)
    assert np.corrcoef(found.wave, made)[0, 1] > 0.99


def test_clips_can_be_opened_all_at_once(worlds):
    clips = open_clips(worlds["ave"])
    assert [clip.id for clip in clips] == [open_clip(worlds["ave"], row).id for row in range(7)]


def test_only_the_first_row_of_an_id_has_a_video(begun):
    """AVE's annotations list some videos twice, with two categories."""
    lines = (begun / "scripts.jsonl").read_text().splitlines()
    lines[3] = json.dumps(json.loads(lines[3]) | {"id": json.loads(lines[1])["id"]})
    (begun / "scripts.jsonl").write_text("\n".join(lines) + "\n")
    said = []
    folder = write_videos(begun, say=said.append, **SMALL)
    first = open_clip(begun, 1)
    frames = read_clip(folder / f"{first.id}.mp4", 1, sound=False).frames.astype(float)
    assert np.abs(frames - render_frames(first, SMALL["side"], 4)[2::4]).mean() < 12
    assert len(files(folder)) == 6 and said[0].startswith("1 rows repeat the id of an earlier row")


# ---- whole or nothing, continued


def test_what_is_interrupted_continues(begun, worlds, monkeypatch):
    written, write = [], videos.write_clip

    def stops(clip, path, form):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path.name)
        write(clip, path, form)

    monkeypatch.setattr(videos, "write_clip", stops)
    with pytest.raises(KeyboardInterrupt):
        write_videos(begun, **SMALL)
    assert not (begun / "videos").exists() and not (begun / "videos.json").exists()
    (partial,) = begun.glob(".videos.*.partial")
    (partial / ".0123abcd.half.mp4").write_bytes(b"left by a process that was killed")
    again = []
    monkeypatch.setattr(videos, "write_clip", lambda *a: (again.append(a[1].name), write(*a)))
    write_videos(begun, **SMALL)
    assert len(again) == 5 and not set(again) & set(written)
    assert files(begun / "videos") == files(worlds["ave"] / "videos")
    assert not list(begun.glob(".videos*"))
    write_videos(begun, **SMALL)
    assert len(again) == 5


def test_a_video_that_was_removed_is_written_again(begun):
    folder = write_videos(begun, **SMALL)
    before = files(folder)
    (folder / sorted(before)[-1]).unlink()
    assert files(write_videos(begun, **SMALL)) == before


def test_another_form_begins_anew_and_does_not_replace(begun, monkeypatch):
    monkeypatch.setattr(videos, "write_clip", lambda clip, path, form: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_videos(begun, **SMALL)
    monkeypatch.undo()
    write_videos(begun, **SMALL | {"side": 24})
    assert not list(begun.glob(".videos*"))
    with pytest.raises(AvbookError, match="exists already, with other clips or another side"):
        write_videos(begun, **SMALL)


def test_the_same_world_is_continued_and_another_refused(worlds, monkeypatch):
    for sizes in build.SIZES.values():
        monkeypatch.setitem(sizes, "tiny", (3, 1, 1))
    monkeypatch.setattr(build, "NEGATIVES", 0.4)
    before = files(worlds["llp"])
    assert write_world_videos(worlds["llp"], "llp", "tiny", seed=2, **SMALL) == worlds["llp"]
    for other in ({"seed": 3}, {"features": "random"}, {"visual_dim": 5}):
        with pytest.raises(AvbookError, match="exists already; choose another folder"):
            write_world_videos(worlds["llp"], "llp", "tiny", **{"seed": 2} | SMALL | other)
    assert files(worlds["llp"]) == before


def test_too_little_room_is_told_before(begun, monkeypatch):
    usage = SimpleNamespace(total=10**9, used=0, free=10_000)
    monkeypatch.setattr(videos.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(AvbookError, match=r"w: 4 more videos of 32 pixels take about .* are free"):
        write_videos(begun, **SMALL)
    assert not (begun / "videos").exists()
    said = []
    usage.free = 10**9
    write_videos(begun, say=said.append, **SMALL)  # the first three are there
    assert said == ["1 more videos of 32 pixels take about 0 MB and under a minute"]


@pytest.mark.soak  # further processes take longer to start than these clips to write
def test_two_processes_write_what_one_writes(begun, worlds):
    assert files(write_videos(begun, **SMALL | {"workers": 2})) == files(worlds["ave"] / "videos")


@pytest.mark.parametrize(
    "options, told",
    [
        ({"side": 8}, "side=8: expected a whole number from 16 to 2160"),
        ({"fps": 0.5}, "fps=0.5"),
        ({"crf": 52}, "crf=52: expected a whole number from 0 to 51"),
    ],
)
def test_options_out_of_range(begun, tmp_path, options, told):
    with pytest.raises(AvbookError, match=told):
        write_videos(begun, **options)
    with pytest.raises(AvbookError, match=told):
        write_world_videos(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists() and not (begun / "videos").exists()


def test_no_world_is_refused(tmp_path):
    with pytest.raises(AvbookError, match="world.json: missing"):
        write_videos(tmp_path)


# ---- the round trip


@lru_cache
def hardest(task):
    """Of a few clips the most and the least disturbed."""
    clips = sorted(sample_scripts(task, 12, seed=5), key=lambda clip: clip.snr_db)
    return clips[0], clips[-1]


@pytest.mark.parametrize("task", ["ave", "llp"])
def test_features_of_a_video_are_those_of_its_clip(task, tmp_path):
    """nbs/5_your_videos/round_trip.json has what was measured on more clips."""
    dims = world_dims(task)
    for clip in hardest(task):
        write_clip(clip, tmp_path / "clip.mp4", VideoForm(fps=VIDEO_FPS[task]))
        found = video_features(tmp_path / "clip.mp4", task, dims)
        direct = clip_features(clip, task, dims)
        for name, expected in direct.items():
            assert found[name].shape == expected.shape and found[name].dtype == np.float32
            a, b = (x.reshape(10, -1).astype(float) for x in (expected, found[name]))
            length = np.linalg.norm(a, axis=1)
            cosine = (a * b).sum(1) / (length * np.linalg.norm(b, axis=1))
            error = np.linalg.norm(a - b, axis=1) / length
            least, most = TOLERANCE[name]
            assert cosine.min() > least and error.max() < most, (name, cosine.min(), error.max())


def test_a_video_lasts_as_many_seconds_as_it_is_taken_for(worlds):
    path = next((worlds["ave"] / "videos").glob("*.mp4"))
    assert video_features(path, "ave", world_dims("ave"), seconds=4)["visual"].shape[0] == 4
