"""Every benchmark runs at a tiny size and writes what the page reads; what it compares, it
compares. No time is asserted.

All of them take minutes of processor time, so `make soak` runs them; here the one command runs two,
one of which fails."""

import json
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from forked import run_forked, script
from processes import PATIENCE, ROOT

FOLDER = ROOT / "benchmarks"
NO_SCRIPTS = (
    "all",
    "measure",
    "made_up",
    "llp_real",
    "checking",
    "against_released",
    "gpu_parts",
)  # llp_real takes an hour and a folder, checking 13 GB of disk, against_released a clone,
# gpu_parts a GPU: they are called by themselves


def python(*arguments, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def numbers(value):
    """Every number in a record."""
    if isinstance(value, dict):
        for part in value.values():
            yield from numbers(part)
    elif isinstance(value, list):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def checked(record: dict, *keys: str) -> dict:
    assert {"name", "machine", "rows", *keys} <= set(record)
    assert {"device", "threads", "torch", "load_before", "day"} <= set(record["machine"])
    assert all(math.isfinite(number) for number in numbers(record))
    for row in record["rows"]:
        assert row["what"] and row["seconds"] > 0
        if row["straightforward_seconds"] is not None:
            assert row["against"] and row["times_faster"] == pytest.approx(
                row["straightforward_seconds"] / row["seconds"]
            )
    return record


def run_all(*words) -> tuple[int | None, str, str]:
    return run_forked(
        script,
        str(FOLDER / "all.py"),
        "--quick",
        *map(str, words),
        environment={"AVBOOK_PEAK_SECONDS": "0.01"},
    )


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> tuple[Path, str]:
    """The folder of all records and what was printed: one command runs every benchmark at its
    tiny size."""
    folder = tmp_path_factory.mktemp("quick")
    code, out, err = run_all("--results", folder)
    assert code == 0, out[-1000:] + err[-2000:]
    return folder, out


@pytest.fixture()
def record(quick):
    return lambda name: json.loads((quick[0] / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.soak
def test_one_command_runs_them_all(quick):
    folder, said = quick
    assert {path.name for path in folder.iterdir()} == {
        f"{path.stem}.json" for path in FOLDER.glob("*.py")
    } - {f"{name}.json" for name in NO_SCRIPTS}
    table = said[said.index("what  ") :].splitlines()
    assert len({len(line) for line in table}) == 1 and any("×" in line for line in table)


@pytest.mark.soak
def test_metrics(record):
    record = checked(
        record("metrics"), "data", "videos", "growth_milliseconds", "positive_0.5", "positive_0.05"
    )
    assert record["videos"] == 20 and [*record["growth_milliseconds"]] == [
        "20",
        "40",
        "80",
        "160",
        "320",
    ]


@pytest.mark.soak
def test_cmran_step(record):
    record = checked(record("cmran_step"), "lines", "batch", "peak_gflops")
    lines = record["lines"]
    assert [*lines] == ["released, float64", "released, float32", "ours, float64", "ours"]
    assert lines["ours"]["gflop"] <= lines["released, float32"]["gflop"]
    assert lines["ours, float64"]["first_loss"] == pytest.approx(
        lines["released, float64"]["first_loss"], rel=1e-9
    )
    assert len(record["rows"]) == 2


@pytest.mark.soak
def test_han_step(record):
    record = checked(record("han_step"), "han", "ma", "batch")
    assert (
        [*record["han"]["lines"]][0] == "straightforward"
        and len(record["han"]["lines"]) == 8
        and len(record["ma"]["lines"]) == 3
    )
    for kind in ("han", "ma"):
        lines = record[kind]["lines"]
        assert 0 <= record[kind]["plain_differs_by"] < 1e-4
        assert all(line["gflop_a_step"] > 0 and line["times_faster"] > 0 for line in lines.values())
    han = record["han"]["lines"]
    assert (
        han["frames averaged before their layer"]["gflop_a_step"]
        < han["both modalities in one pass, own attention"]["gflop_a_step"]
    )


@pytest.mark.soak
def test_refinement(record):
    record = checked(record("refinement"), "refinement", "evaluation", "growth")
    assert [*record["growth"]] == ["12", "24", "48", "96"] and record["refinement"]["sample"] == 12
    assert (
        record["refinement"]["disagreement"] < 1e-4
        and sum(record["refinement"]["dropped"].values()) > 0
    )
    assert record["refinement"]["loop_seconds"] == pytest.approx(
        record["refinement"]["sample_seconds"] * 96 / 12
    )


@pytest.mark.soak
def test_loading(record):
    record = checked(record("loading"), "ave", "llp", "growth")
    assert len(record["ave"]["lines"]) == 5 and len(record["llp"]["lines"]) == 4
    ave = record["ave"]["megabytes_on_disk"]
    assert 3.5 < ave["files"] / ave["pack"] < 4.5  # float64 against float16


@pytest.mark.soak
def test_steps(record):
    names = {
        "avel-full",
        "avel-weak",
        "psp-full",
        "psp-weak",
        "cmlcl-represent",
        "cmlcl-search",
        "cmlcl-annotate",
        "cmlcl-localise",
    }
    record = checked(record("steps"), "methods")
    assert set(record["methods"]) == names and len(record["rows"]) == len(names)
    for line in record["methods"].values():
        assert line["results_differ_by"] >= 0 and {
            "straightforward",
            "ours",
            "peak_gflops",
            "batch",
            "clips",
        } <= set(line)


@pytest.mark.soak
def test_determinism(record):
    record = checked(record("determinism"), "conditions", "continued", "side_by_side", "seeds")
    plain = {run["seed"]: run["sha256"] for run in record["conditions"]["one thread"]["runs"]}
    assert record["continued"]["sha256"] == plain[0]
    assert {run["seed"]: run["sha256"] for run in record["side_by_side"]} == plain
    for name, lines in record["conditions"].items():
        assert [run["seed"] for run in lines["runs"]] == record["seeds"]
        assert lines["again"]["sha256"] == lines["runs"][0]["sha256"], name


@pytest.mark.soak
def test_features(record):
    record = checked(record("features"), "choices")
    assert {"world", "lite0 + yamnet"} <= set(record["choices"])
    for line in record["choices"].values():
        assert "not_run" in line or set(line["split_seconds"]) == {"decode", "front_end", "network"}
    if "plain" in record:
        assert len(record["rows"]) == 1 and record["memory"]["clips"] == 3


@pytest.mark.soak
@pytest.mark.parametrize("name", ["psp_epoch", "search", "cmlcl_full", "recipes"])
def test_the_others(record, name):
    assert checked(record(name))["rows"]


@pytest.mark.soak
def test_every_line_of_the_script_for_a_gpu_runs_without_one(tmp_path):
    done = subprocess.run(
        ["bash", FOLDER / "gpu.sh", tmp_path],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={
            **os.environ,
            "DEVICE": "cpu",
            "QUICK": "--quick",
            "PYTHON": sys.executable,
            "OMP_NUM_THREADS": "1",
            "AVBOOK_PEAK_SECONDS": "0.01",
        },
    )
    assert done.returncode == 0 and "failed" not in done.stdout, done.stdout + done.stderr
    for name in ("gpu_parts", "han_step", "refinement", "search"):
        checked(json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")))
    assert "passed" in (tmp_path / "tests.txt").read_text(encoding="utf-8")


@pytest.mark.soak
def test_memory_does_not_grow_with_the_clips(record):
    found = checked(record("beyond_memory"), "lines")["lines"]
    assert [*found] == ["folder", "URL", "URL, one after the other"]
    assert [line["clips"] for line in found["folder"]] == [20, 40]


def test_one_command_tells_of_a_failure(tmp_path):
    blocked = tmp_path / "metrics.json"
    blocked.mkdir()  # the record cannot be written
    code, _, err = run_all("--results", tmp_path, "--only", "metrics", "search")
    assert code == 1 and "failed: metrics" in err and (tmp_path / "search.json").is_file()


@pytest.mark.soak
@pytest.mark.skipif(find_spec("resource") is None, reason="no rusage on this system")
def test_the_real_csvs(tmp_path, data_dir):
    def run(name, folder, *more):
        done = python(FOLDER / f"{name}.py", "--out", folder / f"{name}.json", *more)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))

    record = run(
        "llp_real",
        tmp_path,
        "--quick",
        "--folder",
        tmp_path / "work",
        "--annotations",
        data_dir / "llp",
    )
    assert [*record["steps"]] == [
        "world",
        "check",
        "pack",
        "check the pack",
        "open",
        "open the pack",
        "han",
        "ma",
    ]
    assert all(
        line["seconds"] > 0 and line["cpu_seconds"] > 0 and line["peak_memory_mb"] > 0
        for line in record["steps"].values()
    )
    assert all(record["steps"]["open"]["agrees"].values()) and record["steps"]["open"]["clips"] == {
        "train": 40,
        "val": 12,
        "test": 12,
    }
    assert {"val_selected", "last"} <= set(record["scores"]["quick"]["ma"][0]["test"]) and len(
        record["scores"]["paper"]["ma"]
    ) == record["seeds"] == 1
    again = run(
        "llp_real",
        tmp_path,
        "--quick",
        "--folder",
        tmp_path / "work",
        "--annotations",
        data_dir / "llp",
    )
    assert again["steps"] == record["steps"]  # what stands is not done again


# ------------------------------------------------------------------------------------ shared pieces
@pytest.fixture()
def measure(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import measure

    return measure


def test_turns_keep_the_fastest_round(measure, monkeypatch):
    seconds = iter([5.0, 1.0, 3.0, 2.0, 4.0, 1.5])
    monkeypatch.setattr(measure, "middle", lambda step, repeat, warm, device: next(seconds))
    found = measure.take_turns(
        {"a": measure.Way(print), "b": measure.Way(print)}, rounds=3, steps=1
    )
    assert found["a"]["rounds"] == [5.0, 3.0, 4.0] and found["a"]["seconds"] == 3.0
    assert found["b"]["rounds"] == [1.0, 2.0, 1.5] and found["b"]["seconds"] == 1.0


def test_a_line_of_steps_is_its_fastest_turn(measure):
    import steps

    turns = [
        {"seconds": seconds, "gflop": 4.0, "step_memory_mb": memory}
        for seconds, memory in ((2.0, 10), (0.5, 20), (1.0, 30))
    ]
    found = steps.fastest(turns, peak=16.0, videos=3)
    assert (
        found["seconds"] == 0.5
        and found["step_memory_mb"] == 20
        and found["rounds"] == [2.0, 0.5, 1.0]
    )
    assert (found["gflops"], found["share_of_peak"], found["videos_a_second"]) == (8.0, 0.5, 6.0)


@pytest.mark.soak
def test_a_step_takes_the_memory_it_asks_for(measure):
    found = measure.take_turns(
        {"much": measure.Way(lambda: np.ones(2**24)), "little": measure.Way(lambda: np.ones(16))},
        rounds=1,
        steps=2,
    )
    assert 100 < found["much"]["step_memory_mb"] < 300 and found["little"]["step_memory_mb"] < 50


def test_operations_are_those_of_the_products(measure):
    import torch

    assert measure.flops_of(lambda: torch.ones(3, 4) @ torch.ones(4, 5)) == 2 * 3 * 4 * 5


def test_a_command_that_fails_is_named(measure, tmp_path):
    with pytest.raises(RuntimeError, match="exit code 3: no luck"):
        measure.timed_command(
            [sys.executable, "-c", "print('no luck'); raise SystemExit(3)"], tmp_path / "log"
        )


@pytest.mark.soak
def test_a_command_is_charged_its_memory(measure, tmp_path):
    line = measure.timed_command(
        [sys.executable, "-c", "x = bytearray(200_000_000); sum(range(10**6))"], tmp_path / "log"
    )
    assert line["seconds"] > 0 and 0 < line["cpu_seconds"] and 190 < line["peak_memory_mb"] < 1000


def test_a_process_apart_that_fails_is_named(measure, tmp_path):
    script = tmp_path / "broken.py"
    script.write_text(
        "import sys, json\ntask = json.loads(sys.argv[2])\nif task['fail']: sys.exit('all is"
        " lost')\nprint('noise')\nprint(json.dumps({'got': task}))\n"
    )
    apart = measure.Apart(str(script), lambda fail: {"here": fail}, mostly_here=True)
    assert apart(fail=0) == {"got": {"fail": 0}} and apart(fail=0) == {"here": 0}
    with pytest.raises(RuntimeError, match="broken.py.*all is lost"):
        measure.Apart(str(script), dict)(fail=1)


def test_what_the_page_shows_is_there(measure):
    import importlib

    records = importlib.import_module("all").read(measure.RESULTS)
    for name in (
        "metrics",
        "steps",
        "han_step",
        "cmran_step",
        "refinement",
        "loading",
        "psp_epoch",
        "search",
        "cmlcl_full",
        "recipes",
        "determinism",
        "llp_real",
    ):
        assert name in records, (
            f"{name}.json is missing: run `python benchmarks/all.py --only {name}`"
        )
        assert records[name]["rows"]
