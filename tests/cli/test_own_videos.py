"""The whole road of a person's own videos: features, labels, a training, a model as one file, and
the timelines of videos that were not labelled."""

import importlib.util
import json
import os

import numpy as np
import pytest
from forked import avbook_command, run_forked
from processes import ROOT
from safetensors.torch import load_file, save_file

from avbook.data.ave import AVE
from avbook.features.encode import write_video
from avbook.features.trained import VERSION, WEIGHTS, extractor_weights

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("av") is None, reason="PyAV is not installed"
)
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
SECONDS = 2
LABELLED = 9


def avbook(*words, code=0):
    found, out, err = run_forked(avbook_command, *map(str, words), cwd=ROOT, environment=ENV)
    assert found == code, out + err
    return out, err


def film(folder, count):
    """Videos in two kinds: a bright one with a high tone, a dark one with a low tone."""
    folder.mkdir()
    for i in range(count):
        grey = np.full((8 * SECONDS, 48, 64, 3), 200 - i if i % 2 else 30 + i, np.uint8)
        grey[:, : 5 + i, : 7 + i] = 120
        tone = np.sin(np.arange(16_000 * SECONDS) * (0.4 if i % 2 else 0.05))
        write_video(folder / f"my clip {i}.mp4", grey, 8, 0.3 * tone)


def timelines(folder):
    found = sorted(folder.glob("*.timeline.json"))
    return {path.name.split(".")[0]: json.loads(path.read_text()) for path in found}


def same(one, other):
    """Sums in other batches have other last bits."""
    for name in ("seconds", "task", "model", "extractors"):
        assert one[name] == other[name]
    assert len(one["events"]) == len(other["events"]) > 0
    for event, its in zip(one["events"], other["events"]):
        assert event == {**its, "score": pytest.approx(its["score"], abs=2e-4)}


def test_from_videos_to_the_timelines_of_others(tmp_path):
    film(tmp_path / "mine", LABELLED)
    film(tmp_path / "others", 2)
    world = ("--visual", "world", "--audio", "world", "--seconds", SECONDS, "--jobs", 1)
    avbook("features", tmp_path / "mine", tmp_path / "ave", *world)
    rows = [f"my clip {i}.mp4,0,{1 + i % 2},{'Bell' if i % 2 else 'Drum'}" for i in range(LABELLED)]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["file,onset,offset,event", *rows]) + "\n")
    avbook("label", tmp_path / "ave", table)
    assert "no errors" in avbook("data", "check", tmp_path / "ave")[0]
    assert AVE(tmp_path / "ave").categories == ("Bell", "Drum")
    runs = ("--preset", "quick", "--set", "epochs=1", "--out", tmp_path / "runs")
    avbook("run", "avel-full", "--data", tmp_path / "ave", *runs)
    (record,) = (tmp_path / "runs").rglob("seed-0.json")
    told = json.loads(record.read_text())["data"]["features"]
    assert told["visual"]["weights"] == extractor_weights().hash

    avbook("export", record, tmp_path / "model.safetensors")
    avbook("features", tmp_path / "others", tmp_path / "unlabelled", *world)
    model = ("--model", tmp_path / "model.safetensors")
    avbook(
        *("predict", *model, "--features", tmp_path / "unlabelled", "--no-html"),
        *("--out", tmp_path / "timelines"),
    )
    by_folder = timelines(tmp_path / "timelines")
    assert list(by_folder) == ["my clip 0", "my clip 1"]
    for timeline in by_folder.values():
        assert timeline["seconds"] == SECONDS
        assert {event["event"] for event in timeline["events"]} <= {"Bell", "Drum"}

    (tmp_path / "others" / "text.mp4").write_text("no video")
    videos = sorted((tmp_path / "others").iterdir())
    out, err = avbook("predict", *videos, *model, "--out", tmp_path / "direct", code=1)
    assert "text.mp4" in err and "1 of 3 videos could not be read" in err
    direct = timelines(tmp_path / "direct")
    assert list(direct) == list(by_folder)
    for name, timeline in direct.items():
        same(timeline, by_folder[name])
        page = (tmp_path / "direct" / f"{name}.timeline.html").read_text()
        assert "data:video/mp4;base64," in page

    other = load_file(WEIGHTS)
    other["sound.gain"] = other["sound.gain"] + 1
    save_file(other, tmp_path / "extractors.safetensors", {"version": str(VERSION)})
    changed = ("--weights", tmp_path / "extractors.safetensors", "--out", tmp_path / "none")
    out, err = avbook("predict", videos[0], *model, *changed, code=1)
    assert f"described have {told['audio']['weights']}; give the same weights" in err
    assert err.count("\n") == 1 and not (tmp_path / "none").exists()
