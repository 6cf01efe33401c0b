"""The command line as a user meets it: help that teaches, one line on a fault, exit codes, records
that are not made twice."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from forked import avbook_command, run_forked
from processes import PATIENCE, ROOT, wait_for

from avbook.experiments.options import as_word
from avbook.experiments.recipes import RECIPES, find_recipe

ENV = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def avbook(*words, cwd=ROOT, code=0, columns=200) -> subprocess.CompletedProcess:
    """The command in a fork that has its libraries already; `from_a_shell` starts a Python of
    its own."""
    environment = {**ENV, "COLUMNS": str(columns)}
    found, out, err = run_forked(avbook_command, *map(str, words), cwd=cwd, environment=environment)
    assert found == code, out + err
    return subprocess.CompletedProcess(words, found, out, err)


def from_a_shell(*words, cwd=None, code=0) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "-m", "avbook", *map(str, words)],
        capture_output=True,
        text=True,
        env=ENV,
        cwd=cwd,
        timeout=PATIENCE,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def fault(*words, cwd=ROOT):
    """What a failing command says: one line, no traceback."""
    lines = avbook(*words, cwd=cwd, code=1).stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("avbook: "), lines
    return lines[0]


def test_help_names_every_command_and_gives_examples():
    text = from_a_shell("--help").stdout
    for command in ("world", "data", "run", "table", "recipes", "demo"):
        assert command in text
        assert "Usage" in avbook(command, "--help").stdout
    assert "psp-full" in avbook("run", "--help").stdout


def test_help_is_quick_because_nothing_heavy_is_imported():
    code = (
        "import sys, avbook.cli; print([m for m in"
        " ('torch','matplotlib','pandas','h5py','sklearn','scipy','accelerate') if m in"
        " sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=ENV
        ).stdout.strip()
        == "[]"
    )


def test_a_wide_table_is_printed_level_by_level_with_ours_below_the_papers():
    lines = (
        avbook("table", "ma-1", "--dry", "--seeds", "5", "--out", ROOT / "nbs/records")
        .stdout.replace("\N{NO-BREAK SPACE}", " ")
        .splitlines()
    )
    titles = [
        i for i, line in enumerate(lines) if line.startswith("Against other methods (MA, Table 1, ")
    ]
    assert [re.search(r"(\w+) level, in %", lines[i])[1] for i in titles] == ["segment", "event"]
    row = next(i for i, line in enumerate(lines) if line.startswith("│ HAN"))
    assert re.match(r"│ HAN +│ paper │ +60\.1 │ +52\.9 │", lines[row]) and re.match(
        r"│ +│ ours  │ \d\d\.\d ± \d\.\d │", lines[row + 1]
    )
    assert re.match(r"│ AVE +│ paper │ +47\.2 │", lines[row - 5]) and "cited" not in "".join(lines)


def test_recipes_are_listed_with_what_they_train_and_on_which_data():
    lines = avbook("recipes", columns=80).stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    named = [line.split()[:2] for line in lines[1:] if line and not line.startswith(" ")]
    for recipe in RECIPES.values():
        assert [recipe.name, recipe.task.upper()] in named


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("name", RECIPES)
def test_the_options_of_a_recipe_are_a_table_that_fits(name, columns):
    lines = avbook("recipes", name, columns=columns).stdout.splitlines()
    assert all(len(line) <= columns for line in lines) and not any("…" in line for line in lines)
    recipe = find_recipe(name)
    head = next(i for i, line in enumerate(lines) if line.split()[:2] == ["option", "values"])
    rows = [line for line in lines[head + 1 : lines.index("", head)] if line[0] != " "]
    assert [row.split()[0] for row in rows] == list(recipe.options)
    for row, option in zip(rows, recipe.options.values()):
        quick = [as_word(recipe.quick[option.name])] if option.name in recipe.quick else []
        assert [as_word(option.default), *quick] == re.split(r"  +", row)[2 : 3 + len(quick)]
        assert option.meaning.split()[0] in row


def test_wrong_usage_ends_in_two():
    avbook("run", "psp-full", "--sedes", "3", code=2)
    from_a_shell("nonsense", code=2)


@pytest.mark.parametrize(
    "words, said",
    [
        (("run", "psp-ful"), "did you mean psp-full"),
        (("run", "psp-full", "--set", "tua=1"), "did you mean tau"),
        (("run", "psp-full", "--set", "tau"), "name=value"),
        (("run", "psp-full", "--set", "tau=high"), "tau='high'"),
        (("run", "psp-full", "--set", "tau=2"), "tau=2: expected a number, at least 0"),
        (("run", "psp-full", "--set", "tau=NaN"), "--set tau=NaN: expected a finite number"),
        (("run", "psp-full", "--set", "prune=wpp"), "did you mean wpsp"),
        (("run", "psp-full", "--set", "lr=0", "--data", "/no/such"), "lr=0: expected a finite"),
        (("run", "psp-full", "--preset", "slow"), "expected paper or quick"),
        (("run", "psp-full", "--data", "/no/such"), "no such folder"),
        (("run", "psp-full", "--data", "world:huge"), "huge"),
        (("table", "psp-9"), "psp-1"),
        (("table", "psp-1", "--only", "half"), "full"),
        (("table", "psp-1", "--set", "taw=1", "--data", "/no/such"), "did you mean tau"),
        (("recipes", "psp-ful"), "did you mean psp-full"),
        (("world", "somewhere", "--like", "kinetics"), "kinetics"),
        (("world", "somewhere", "--size", "huge"), "huge"),
        (("world", "somewhere", "--annotations", "/no/such"), "/no/such"),
        (("data", "check", "/no/such"), "/no/such"),
        (("data", "pack", "/no/such", "out"), "/no/such"),
    ],
)
def test_a_fault_is_one_line(words, said, tmp_path):
    assert said in fault(*words, cwd=tmp_path)
    assert not any(tmp_path.iterdir()), "something half-written stays behind"


QUICK = ("--data", "world:tiny", "--jobs", "1", "--set", "epochs=3")


def test_a_finished_run_is_read_not_repeated(tmp_path):
    said = avbook("run", "psp-full", *QUICK, cwd=tmp_path).stdout
    (path,) = tmp_path.glob("runs/psp-full/*/seed-0.json")
    record = json.loads(path.read_text())
    assert (
        record["options"] == {"epochs": 3}
        and record["data"]["kind"] == "world"
        and record["preset"] == "quick"
    )
    assert {
        "recipe",
        "seed",
        "metrics",
        "epochs",
        "seconds",
        "peak_memory_mb",
        "device",
        "versions",
        "command",
    } <= record.keys()
    assert (
        set(record["metrics"]["test"]) == {"val_selected", "last", "test_selected"}
        and "val" in record["metrics"]
    )
    shown = float(re.search(r"val_selected: ([\d.]+)", said).group(1))
    assert shown == pytest.approx(record["metrics"]["test"]["val_selected"]["accuracy"], abs=0.05)
    before = path.stat().st_mtime_ns
    assert avbook("run", "psp-full", *QUICK, cwd=tmp_path).stdout == said
    assert path.stat().st_mtime_ns == before
    again = record["command"].split()[1:]
    avbook(*again, "--out", "again", cwd=tmp_path)
    other = json.loads(next(tmp_path.glob("again/psp-full/*/seed-0.json")).read_text())
    assert other["metrics"] == record["metrics"], "the command in the record makes the same numbers"
    assert {p.name for p in path.parent.iterdir()} == {
        "seed-0.json",
        "seed-0.npz",
        "seed-0.safetensors",
    }


def test_runs_side_by_side_give_the_same_numbers_as_one_by_one(tmp_path):
    avbook("run", "psp-full", *QUICK, "--seeds", "2", "--out", "one", cwd=tmp_path)
    from_a_shell(
        "run",
        "psp-full",
        *QUICK[:2],
        *QUICK[4:],
        "--jobs",
        "2",
        "--seeds",
        "2",
        "--out",
        "two",
        cwd=tmp_path,
    )
    metrics = [
        [
            json.loads(p.read_text())["metrics"]
            for p in sorted(tmp_path.glob(f"{out}/*/*/seed-*.json"))
        ]
        for out in ("one", "two")
    ]
    assert metrics[0] == metrics[1] and len(metrics[0]) == 2


def test_a_table_is_printed_beside_the_papers_and_written(tmp_path):
    said = avbook(
        "table",
        "psp-1",
        "psp-3",
        "--only",
        "full",
        "--data",
        "world:tiny",
        "--seeds",
        "1",
        "--set",
        "epochs=1",
        cwd=tmp_path,
    ).stdout
    assert "77.8" in said and "PSP beats ASP" in said and "τ = 0.115" in said
    assert len(list(tmp_path.glob("runs/psp-full/*/seed-0.json"))) == 8, (
        "five cells of Table 1 and five of Table 3, two of them shared"
    )
    assert "world" in (tmp_path / "runs/psp-1.csv").read_text()
    text = (tmp_path / "runs/psp-1.md").read_text()
    assert "| PSP | 77.8 |" in text and "1 seed;" in text
    dry = avbook(
        "table", "psp-2", "--only", "AVEL", "--dry", "--data", "world:tiny", cwd=tmp_path
    ).stdout
    assert "not run" in dry


def test_ctrl_c_keeps_what_was_finished_and_the_same_command_continues(tmp_path):
    words = ["run", "psp-full", "--data", "world:tiny", "--jobs", "1", "--set", "epochs=1000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "avbook", *words],
        cwd=tmp_path,
        env=ENV,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

    # not the hidden file beside it, which lasts only while a checkpoint is being written
    def checkpoints():
        return [
            path
            for path in tmp_path.glob("runs/psp-full/*/seed-0/*")
            if not path.name.startswith(".")
        ]

    wait_for(checkpoints, process)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=PATIENCE)[1]
    assert (
        process.returncode == 130
        and "Traceback" not in said
        and "continues" in said.strip().splitlines()[-1]
    )
    assert not list(tmp_path.glob("runs/psp-full/*/seed-0.json")), "an unfinished run has no record"
    assert checkpoints(), "the checkpoint of the last finished epoch stands"
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()], (
        "nothing half-written stays"
    )
