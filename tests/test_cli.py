"""The command line as a user meets it: help that teaches, one line on a fault, exit codes, records
that are not made twice."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys

import psutil
import pytest
from forked import avbook_command, patched_command, run_forked
from made_records import put
from processes import PATIENCE, ROOT, wait_for

from avbook.data.ave import AVE
from avbook.experiments.options import as_word
from avbook.experiments.recipes import RECIPES, find_recipe
from avbook.world.build import world_folder

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


def only_line(text: str) -> str:
    """The one line that a failing command says, of characters that a terminal shows."""
    lines = text.splitlines()
    assert len(lines) == 1 and lines[0].startswith("avbook: "), text
    assert lines[0].isprintable() and len(lines[0]) < 1100, lines
    return lines[0]


def fault(*words, cwd=ROOT):
    return only_line(avbook(*words, cwd=cwd, code=1).stderr)


def patched(code, *words, environment=None, cwd=ROOT):
    """(exit code, output, errors) of the command after some lines of Python."""
    return run_forked(
        patched_command, code, *words, cwd=cwd, environment={**ENV, **(environment or {})}
    )


def test_help_names_every_command_and_gives_examples():
    text = from_a_shell("--help").stdout
    for command in ("world", "extractors", "features", "data", "run", "table", "recipes", "demo"):
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
        i
        for i, line in enumerate(lines)
        if line.startswith("Comparison with other methods (MA, Table 1, ")
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
        (("run", "psp-full", "--set", "lr=0", "--data", "/no/such"), "lr=0: expected a number"),
        (("run", "psp-full", "--preset", "slow"), "expected paper or quick"),
        (("run", "psp-full", "--data", "/no/such"), "no such folder"),
        (("run", "psp-full", "--data", "world:huge"), "huge"),
        (("table", "psp-9"), "psp-1"),
        (("table", "psp-1", "--only", "half"), "full"),
        (("table", "psp-1", "--set", "taw=1", "--data", "/no/such"), "did you mean tau"),
        (("recipes", "psp-ful"), "did you mean psp-full"),
        (("world", "somewhere", "--like", "kinetics"), "kinetics"),
        (("world", "somewhere", "--size", "huge"), "huge"),
        (("world", "somewhere", "--features", "learnt"), "expected one of random, trained"),
        (("extractors", "/dev/null/w", "--examples", "100", "--epochs", "1"), "is a file"),
        (("world", "somewhere", "--annotations", "/no/such"), "/no/such"),
        (("world", "somewhere", "--annotations", "/dev/null"), "is a file; expected the folder"),
        (("world", "somewhere", "--visual-dim", "99999999"), "from 1 to 8192"),
        (("world", "/dev/null/w"), "is a file; expected a folder"),
        (("world", "somewhere", "--side", "100"), "--side 100: applies to videos; add --videos"),
        (("world", "a" * 300), "choose a shorter name"),
        (("run", "psp-full", "--seed", "1", "--seeds", "3"), "use one of them"),
        (("run", "psp-full", "--epochs", "3", "--set", "epochs=4"), "give one of them"),
        (("run", "psp-full", "--out", "a", "--out", "b"), "--out is given 2 times"),
        (("run", "psp-full", "--seed", "1", "--seed=2"), "--seed is given 2 times"),
        (
            ("run", "psp-full", "--device", "gpu", "--data", "/no/such"),
            "no such device; expected one of auto, cpu",
        ),
        (("run", "psp-full", "--out", "/dev/null", "--data", "/no/such"), "is a file"),
        (("run", "psp-full", "--out", "/dev/null/x", "--data", "/no/such"), "is a file"),
        (("table", "psp-1", "--out", "/dev/null", "--data", "/no/such"), "is a file"),
        (("table", "psp-1", "--dry", "--out", "/dev/null"), "is a file"),
        (("table", "psp-1", "--preset", "slow", "--data", "/no/such"), "expected paper or quick"),
        (("demo", "--out", "/dev/null", "--data", "/no/such"), "is a file"),
        (("data", "pack", ".", "/dev/null"), "is a file"),
        (("run", "psp-full", "--data", "x\udcff\n\x1b[31mred"), r"x\udcff \x1b[31mred"),
        (("data", "check", "/no/such"), "/no/such"),
        (("data", "pack", "/no/such", "out"), "/no/such"),
    ],
)
def test_a_fault_is_one_line(words, said, tmp_path):
    assert said in fault(*words, cwd=tmp_path)
    assert not any(tmp_path.iterdir()), "something half-written stays behind"


# ---- whatever goes wrong

FAULTY = """
import errno, os
from avbook.experiments import recipes
def find_recipe(name):
    class Mute(Exception):
        def __str__(self): raise RuntimeError
    raise {}
recipes.find_recipe = find_recipe
"""


@pytest.mark.parametrize(
    "raised, said",
    [
        ("KeyError('a\\nb')", r"unexpected: KeyError 'a\nb'; run again with --traceback for the"),
        ("ValueError('a\\n\\x1b[31m b')", r"unexpected: ValueError a \x1b[31m b; run again"),
        ("ValueError()", "unexpected: ValueError; run again with --traceback"),
        ("ValueError('x' * 10**6)", "run again with --traceback"),
        ("Mute()", "unexpected: Mute (RuntimeError while its message was made)"),
        ("RecursionError('too deep')", "unexpected: RecursionError too deep"),
        ("EOFError('no data left')", "unexpected: EOFError no data left"),
        ("BrokenPipeError('of a worker')", "unexpected: BrokenPipeError of a worker"),
        ("ImportError('no libhdf5.so')", "unexpected: ImportError no libhdf5.so"),
        ("UnicodeDecodeError('utf-8', b'\\xff', 0, 1, 'bad')", "unexpected: UnicodeDecodeError"),
        ("MemoryError()", "out of memory; use smaller sizes"),
        ("RuntimeError('[enforce fail] can\\'t allocate memory: 9 bytes')", "out of memory ("),
        ("OSError(errno.EIO, '', 'a.h5')", "a.h5: Input/output error; the disk or the network"),
        ("OSError(errno.ENOSPC, '')", "writing: No space left on device; free some space"),
        ("PermissionError(errno.EACCES, '', 'a.h5')", "a.h5: Permission denied; change its"),
        ("FileNotFoundError(errno.ENOENT, '', b'a.h5')", "a.h5: No such file or directory; it"),
        ("OSError('h5: file write failed: errno = 28, error')", "No space left on device"),
        ("SystemExit('as it says')", "avbook: as it says"),
        ("BaseException('rare')", "unexpected: BaseException rare"),
    ],
)
def test_any_exception_is_one_line_and_exit_code_one(raised, said):
    code, out, err = patched(FAULTY.format(raised), "recipes", "x")
    assert (code, out) == (1, "") and said in only_line(err)


@pytest.mark.parametrize(
    "words, variable",
    [
        (("--traceback", "recipes", "x"), ""),
        (("recipes", "x", "--traceback"), ""),
        (("recipes", "x"), "1"),
    ],
)
def test_a_traceback_is_shown_to_those_who_ask(words, variable):
    faulty, asked = FAULTY.format("KeyError('x')"), {"AVBOOK_TRACEBACK": variable}
    code, out, err = patched(faulty, *words, environment=asked)
    assert (code, out) == (1, "") and err.startswith("Traceback") and "in find_recipe" in err
    assert err.splitlines()[-1].startswith("avbook: unexpected: KeyError 'x'")


def test_exit_codes_of_libraries_stay():
    assert patched(FAULTY.format("SystemExit(7)"), "recipes", "x") == (7, "", "")


NOTED = """
import warnings, threading
from avbook.experiments import recipes
def find_recipe(name):
    warnings.warn("first\\nsecond")
    class Held:
        def __del__(self): raise KeyError("in a destructor")
    Held()
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    raise SystemExit(0)
recipes.find_recipe = find_recipe
"""


def test_warnings_and_what_python_prints_by_itself_are_a_line_each():
    code, out, err = patched(NOTED, "recipes", "x")
    assert (code, out) == (0, "")
    assert err.splitlines() == [
        "avbook: note: first second",
        "avbook: note: KeyError 'in a destructor'",
        "avbook: note: ZeroDivisionError division by zero",
    ]


# ---- what it prints to

posix = pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")


def shell(line: str, **environment) -> subprocess.CompletedProcess:
    command = f"'{sys.executable}' -m avbook"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line.replace("avbook", command)],
        capture_output=True,
        env={**ENV, **environment},
        cwd=ROOT,
        timeout=PATIENCE,
    )


@posix
def test_a_reader_that_has_enough_is_no_fault_to_tell():
    reading, writing = os.pipe()
    os.close(reading)  # as `head` does once it has its lines
    with open(writing, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "avbook", "recipes"],
            stdout=out,
            stderr=subprocess.PIPE,
            env=ENV,
            cwd=ROOT,
        )
    assert (done.returncode, done.stderr) == (1, b"")


@posix
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_output_that_cannot_be_written_is_one_line():
    done = shell("avbook recipes > /dev/full")
    assert done.returncode == 1 and "No space left" in only_line(done.stderr.decode())


@posix
def test_closed_streams_do_no_harm():
    done = shell("avbook recipes >&- 2>&- <&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@posix
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_a_terminal_of_ascii_gets_escapes(environment):
    done = shell("avbook recipes psp-full && avbook data check $'\\xff\\xe4'", **environment)
    assert done.returncode == 1 and done.stdout.isascii() and b"psp-full (AVE)" in done.stdout
    assert r"\udcff" in only_line(done.stderr.decode("ascii"))


# ---- stopped at any time

SIGNALS = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])
STOPPED_HERE = """
import os, signal, sys

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it, in children too

class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.{signal})

sys.meta_path.insert(0, Stop())
sys.argv = ["avbook", "data", "check", "/no/such"]
from avbook.cli import main
main()
"""


@posix
@pytest.mark.parametrize(
    "name, number",
    [
        *[(name, signal.SIGINT) for name in ("avbook.cli.ending", "tempfile", "typer", "numpy")],
        *[("avbook.data.packs", number) for number in SIGNALS],
    ],
)
def test_stopped_while_something_is_imported(name, number):
    code = STOPPED_HERE.format(name=name, signal=number.name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENV)
    assert done.returncode == 128 + number and "stopped" in only_line(done.stderr)


STOPPED_WHERE_IT_IS_LOST = """
import os, signal, time
from avbook.experiments import recipes
class Held:
    def __del__(self): os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.01)
def find_recipe(name):
    {}
    while True: time.sleep(0.05)
recipes.find_recipe = find_recipe
"""
SWALLOWED = """
    try: os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.01)
    except BaseException: pass
"""


@posix
@pytest.mark.parametrize("lost", ["Held()", SWALLOWED])
def test_a_signal_that_a_library_loses_is_raised_again(lost):
    code, out, err = patched(STOPPED_WHERE_IT_IS_LOST.replace("{}", lost), "recipes", "x")
    assert (code, out) == (143, "") and "stopped" in only_line(err)


STOPPED_TWICE = """
import os, pathlib, signal, time
from avbook.experiments import recipes
def find_recipe(name):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1.2)
        pathlib.Path("tidied").touch()
recipes.find_recipe = find_recipe
"""


@posix
def test_impatience_does_not_disturb_the_tidying(tmp_path):
    code, out, err = patched(STOPPED_TWICE, "recipes", "x", cwd=tmp_path)
    assert (code, out) == (130, "") and "stopped" in only_line(err)
    assert (tmp_path / "tidied").exists()


@posix
def test_what_was_to_be_ignored_still_is(tmp_path):
    told = shell(f"nohup avbook recipes > '{tmp_path}/out' & wait $!")
    assert told.returncode == 0
    code = """
import os, signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from avbook.experiments import recipes
def find_recipe(name): os.kill(os.getpid(), signal.SIGHUP); raise SystemExit(3)
recipes.find_recipe = find_recipe
"""
    assert patched(code, "recipes", "x") == (3, "", "")


# ---- runs

# finished runs, without training: seeds below 2 were there before
MADE_UP = """
from pathlib import Path
from types import SimpleNamespace
from avbook.experiments import runner
def run_outcomes(tasks, where, *, jobs=1, report=lambda outcome, done, of: None):
    outcomes = []
    for done, task in enumerate(tasks, 1):
        scores = {name: {"accuracy": 70.0} for name in ("val_selected", "last", "test_selected")}
        record = {
            "recipe": task["recipe"], "seed": task["seed"], "options": {"tau": 0.1},
            "metrics": {"test": scores}, "seconds": 12.0, "finished": "2026-11-28T12:00:00Z",
        }
        path = Path(task["out"], f"seed-{task['seed']}.json")
        outcomes.append(SimpleNamespace(record=record, path=path, read=task["seed"] < 2))
        report(outcomes[-1], done, len(tasks))
    return outcomes
runner.run_outcomes = run_outcomes
"""


def test_a_run_tells_what_it_read_and_what_it_ran(tmp_path):
    code, out, err = patched(
        MADE_UP, "run", "psp-full", "--data", "world:tiny", "--seeds", "3", cwd=tmp_path
    )
    assert code == 0 and "test accuracy, last: 70.0" in out
    read = "read from runs/seed-{}.json, finished on 2026-11-28T12:00:00Z; not run"
    assert err.splitlines() == [
        f"[1/3] psp-full tau=0.1 seed 0: {read.format(0)}",
        f"[2/3] psp-full tau=0.1 seed 1: {read.format(1)}",
        "[3/3] psp-full tau=0.1 seed 2: 70.0 at the last epoch (12 s); ran: runs/seed-2.json",
    ]


def test_a_table_tells_how_many_it_read_and_how_many_it_ran(tmp_path):
    words = ("table", "psp-1", "--only", "full", "--data", "world:tiny", "--seeds", "3")
    code, out, err = patched(MADE_UP, *words, cwd=tmp_path)
    assert code == 0 and err.splitlines()[-1] == "5 run now, 10 read from runs"
    assert len(err.splitlines()) == 6, "what is read is told in one line"


def test_a_dry_table_has_read_everything(tmp_path):
    content = AVE(world_folder("ave", "tiny")).hash
    for seed in range(3):
        put(tmp_path / "r", "psp-full", {}, seed, 70.0, data="another name", hash=content)
    said = avbook(
        "table", "psp-1", "--dry", "--data", "world:tiny", "--out", "r", cwd=tmp_path
    ).stderr
    assert said == "0 run now, 3 read from r\n"


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


def start(*words, cwd) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "avbook", *words],
        cwd=cwd,
        env=ENV,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


ENDLESS = ("run", "psp-full", "--data", "world:tiny", "--set", "epochs=1000000")


def checkpoints(folder) -> set[str]:
    """The seeds that have one; not the hidden file beside it, which lasts only while a checkpoint
    is being written."""
    found = folder.glob("runs/psp-full/*/seed-*/*")
    return {path.parent.name for path in found if not path.name.startswith(".")}


def no_longer_run(processes) -> bool:
    return not psutil.wait_procs(processes, PATIENCE)[1]


@posix
@pytest.mark.parametrize("number, jobs", [(SIGNALS[0], 2), (SIGNALS[1], 2)])
def test_ctrl_c_keeps_what_was_finished_and_the_same_command_continues(tmp_path, number, jobs):
    process = start(*ENDLESS, "--jobs", str(jobs), "--seeds", str(jobs), cwd=tmp_path)
    wait_for(lambda: len(checkpoints(tmp_path)) == jobs, process)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, number) if jobs > 1 else process.send_signal(number)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 128 + number and "continues" in only_line(said)
    assert no_longer_run(workers)
    assert not list(tmp_path.glob("runs/psp-full/*/seed-0.json")), "an unfinished run has no record"
    assert checkpoints(tmp_path), "the checkpoint of the last finished epoch stands"
    if jobs == 1:
        assert not [path for path in tmp_path.rglob(".*") if path.is_file()], (
            "nothing half-written stays"
        )


def workers_of(process) -> set:
    """The processes that compute for a command."""
    found = set()
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            if "LokyProcess" in " ".join(child.cmdline()):
                found.add(child)
    return found


@posix
def test_a_worker_that_is_killed_is_replaced_once_and_no_worker_stays(tmp_path):
    process = start(*ENDLESS, "--jobs", "2", "--seeds", "2", cwd=tmp_path)
    wait_for(lambda: len(checkpoints(tmp_path)) == 2, process)
    first = workers_of(process)
    assert len(first) == 2
    first.copy().pop().kill()
    wait_for(lambda: len(workers_of(process) - first) == 2, process)
    second = workers_of(process) - first
    assert no_longer_run(first)
    second.copy().pop().kill()
    note, error = process.communicate(timeout=PATIENCE)[1].splitlines()
    assert process.returncode == 1 and no_longer_run(second)
    assert "a worker died" in note and "its call is repeated" in note
    assert (
        "a worker died, perhaps for lack of memory: use --jobs 1; the same command continues"
        in only_line(error)
    )
