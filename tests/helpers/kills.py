"""Commands that are cut off, by SIGKILL at random moments or by a full disk, and then continued:
they must leave what an uninterrupted command leaves."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
from processes import PATIENCE, ROOT
from targets import UNFINISHED
from valid_inputs import DATA_OF, QUICK, fast_world, run_words
from watchdog import Outcome, start_command, told, worst

# what differs between two runs of one command, wherever it stands in JSON
VOLATILE = {"seconds", "peak_memory_mb", "finished"}
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "AVBOOK_CACHE": "cache"}
ORPHAN = 120.0  # seconds within which what a killed process started has to end


@dataclass(frozen=True)
class Scenario:
    """A command that writes into the folder it is called in."""

    name: str
    given: tuple[str, ...]  # the valid inputs that it reads
    words: Callable[[Path], list[str]]  # of avbook, from the folder of valid inputs
    share: float = 1.0  # of the kills
    shell: bool = False  # only in a Python of its own, as its workers are
    before: Callable[[], None] = lambda: None  # called in a fork, ahead of the command


def _run(recipe: str, share: float = 1.0) -> Scenario:
    given = DATA_OF[recipe]
    return Scenario(
        recipe, (given,), lambda inputs: run_words(recipe, inputs / given, "runs"), share
    )


def _features(inputs: Path, jobs: str) -> list[str]:
    """With the extractors that the package carries, since others may not be installed."""
    return [
        *("features", str(inputs / "videos"), "made", "--like", "llp", "--project"),
        *("--visual", "world", "--audio", "world", "--jobs", jobs),
    ]


SCENARIOS = (
    _run("psp-full", 2),
    _run("psp-weak", 1),
    _run("han", 1),
    _run("ma", 3),
    _run("cmlcl", 3),
    _run("cluster", 1),
    Scenario(
        "pack",
        ("large",),
        lambda inputs: ["data", "pack", str(inputs / "large"), "large.pack"],
        3,
    ),
    Scenario(
        "table, two jobs",
        ("ave",),
        lambda inputs: [
            *("table", "psp-1", "--only", "full", "--seeds", "1", "--data", str(inputs / "ave")),
            *(*QUICK[:2], "--set", "epochs=2", "--jobs", "2", "--out", "runs"),
        ],
        2,
        shell=True,
    ),
    Scenario("features", ("videos",), lambda inputs: _features(inputs, "1"), 2),
    Scenario("features, two jobs", ("videos",), lambda inputs: _features(inputs, "2"), 1, True),
    Scenario("world", (), lambda inputs: ["world", "w", "--size", "tiny"], 1.5, before=fast_world),
    Scenario(
        "run on a new world",
        (),
        lambda inputs: [
            *("run", "psp-full", "--data", "world:tiny", *QUICK, "--set", "epochs=2"),
            *("--out", "runs"),
        ],
        1.5,
        before=fast_world,
    ),
)


if find_spec("av") is None:  # nothing can make or read a video
    SCENARIOS = tuple(one for one in SCENARIOS if "videos" not in one.given)


# -------------------------------------------------------------------------------------- a process
class Process:
    """The command at work in a folder, in a session of its own."""

    def __init__(
        self,
        scenario: Scenario,
        folder: Path,  # that it is called in
        inputs: Path,
        shell: bool,  # a Python of its own, as a user starts it; False: a fork of this process
        before: Callable[[], None] | None = None,
    ):
        self.log, words = folder.with_name(folder.name + ".said"), scenario.words(inputs)
        self.code: int | None = None
        self.started = time.monotonic()
        if not shell:
            self.pid = start_command(
                *words,
                cwd=folder,
                log=self.log,
                environment=ENVIRONMENT,
                session=True,
                before=before or scenario.before,
            )
            return
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with open(f"{self.log}.out", "w") as out, open(f"{self.log}.err", "w") as err:
            self.pid = subprocess.Popen(
                [sys.executable, "-m", "avbook", *words],
                cwd=folder,
                env={**os.environ, **ENVIRONMENT, "PYTHONPATH": paths},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            ).pid

    def ended(
        self,
        within: float = 0.0,  # seconds since it was started
        until: Callable[[], object] = lambda: False,  # or until this holds
    ) -> bool:
        """Whether it has ended by then."""
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() - self.started >= within or until():
                return False
            else:
                time.sleep(0.004)
        return True

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        self.code = os.waitstatus_to_exitcode(status)

    def outcome(self) -> Outcome:
        """What came of it; what Python's own watcher of semaphores says, when a worker was killed,
        is left out."""
        lines = Path(f"{self.log}.err").read_text(errors="replace").splitlines()
        return told(self.code, "\n".join(line for line in lines if "resource_tracker" not in line))

    def workers(self) -> list[int]:
        """Processes that it started to compute for it."""
        return [pid for pid in session(self.pid) if "loky.backend.popen" in _words_of(pid)]


def session(number: int) -> list[int]:
    """The processes of a session that still run."""
    found = []
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == number and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except (OSError, psutil.Error):
            continue
    return found


def _words_of(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""


# ------------------------------------------------------------------------------------ uninterrupted
def make_reference(scenario: Scenario, shell: bool, inputs: Path, folder: Path) -> Outcome:
    """The command uninterrupted; beside the folder, when it began to write and when it ended."""
    folder.mkdir(parents=True)
    process = Process(scenario, folder, inputs, shell)
    process.ended(PATIENCE, until=lambda: any(folder.iterdir()))
    began = process.seconds
    assert process.ended(PATIENCE), f"{scenario.name} did not end"
    times = {"began": min(began, process.seconds), "ended": process.seconds}
    folder.with_name(folder.name + ".json").write_text(json.dumps(times))
    return process.outcome()


# ------------------------------------------------------------------------------------------ trials
def killed_trial(
    scenario: Scenario,
    shell: bool,
    rng: random.Random,
    inputs: Path,
    reference: Path,  # what the uninterrupted command left
    folder: Path,  # of this trial, new
) -> Outcome:
    """The command killed twice or thrice in a row, then continued to its end."""
    times = json.loads(reference.with_name(reference.name + ".json").read_text())
    folder.mkdir()
    kills, moments, sessions, found = 0, [], [], Outcome("accepted")
    for turn in range(rng.choice([2, 3])):
        # before it writes there is nothing to lose; what was done is not done again
        first, last = 0.7 * times["began"], times["ended"]
        last = times["began"] + (last - times["began"]) * 0.8**turn
        moment = rng.uniform(first, last)
        process = Process(scenario, folder, inputs, shell)
        sessions.append(process.pid)
        if process.ended(moment):
            moments.append("ended")
            found = worst(found, _may_end(process, sessions))
            break
        victims = process.workers() if rng.random() < 0.5 else []
        if victims:
            os.kill(rng.choice(victims), signal.SIGKILL)
            moments.append(f"a worker at {moment:.2f} s")
            if not process.ended(process.seconds + PATIENCE / 4):
                process.kill()
                return Outcome("hang", f"{scenario.name} waits for a worker that was killed")
            found = worst(found, _may_end(process, sessions))
        else:
            process.kill()
            moments.append(f"{moment:.2f} s")
        kills += 1
    found = worst(found, finished(scenario, shell, inputs, folder, sessions))
    found = worst(found, compared(reference, folder))
    return replace(found, what=", ".join(moments) + (", shell" if shell else ""), kills=kills)


def _may_end(process: Process, sessions: list[int]) -> Outcome:
    """A command that ended by itself: finished, or refused in one line."""
    found = process.outcome()
    return Outcome("accepted") if found.kind == "refused" else found


def finished(
    scenario: Scenario, shell: bool, inputs: Path, folder: Path, sessions: list[int]
) -> Outcome:
    """The command continued to its end; nothing that an earlier one started may outlive it.

    It may be refused while such a process is at work still."""
    for _ in range(3):
        alive = [pid for number in sessions for pid in session(number)]
        process = Process(scenario, folder, inputs, shell)
        sessions.append(process.pid)
        if not process.ended(PATIENCE / 3):
            process.kill()
            return Outcome("hang", f"{scenario.name}, continued, did not end")
        found = process.outcome()
        if found.kind != "refused" or not alive:
            break
        _gone(sessions)
    if found.kind == "refused" and "exists already" in found.said:
        found = Outcome("accepted")  # a world that is whole; it is compared next
    if found.kind == "refused":
        found = Outcome("different", f"refused where it should continue: {found.said}")
    left = _gone(sessions)
    if left:
        return worst(found, Outcome("orphan", f"still there after {ORPHAN:g} s: {left}"))
    return found


def _gone(sessions: list[int]) -> list[str]:
    """What is still at work of the sessions after a while."""
    end = time.monotonic() + ORPHAN
    while True:
        alive = [pid for number in sessions for pid in session(number)]
        if not alive or time.monotonic() > end:
            return [_words_of(pid)[-80:] for pid in alive]
        time.sleep(0.05)


# ---------------------------------------------------------------------------------------- comparing
def compared(reference: Path, folder: Path) -> Outcome:
    """Whether both folders hold the same, times and memory apart."""
    theirs, ours = contents(reference), contents(folder)
    more = sorted(ours.keys() - theirs.keys())
    if lost := sorted(theirs.keys() - ours.keys()):
        return Outcome("different", f"lacks {', '.join(lost[:3])}")
    if other := [name for name in theirs if ours[name] != theirs[name]]:
        return Outcome(
            "different", f"{other[0]} is another: {_first(theirs[other[0]], ours[other[0]])}"
        )
    if more:
        return Outcome("leftover", f"left behind: {', '.join(more[:3])}")
    return Outcome("accepted")


def _first(one, other) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one:
            if one[key] != other.get(key):
                return f"{key}: {_first(one[key], other.get(key))}"
    return f"{str(one)[:60]} / {str(other)[:60]}"


def contents(folder: Path) -> dict[str, object]:
    """Every file below the folder, as what must be equal; locks apart."""
    return {
        str(path.relative_to(folder)): _content(path, folder)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def unfinished(folder: Path) -> list[str]:
    """Names of what is only there while it is being written."""
    return [p.name for p in folder.rglob("*") if UNFINISHED.fullmatch(p.name)]


def _content(path: Path, folder: Path) -> object:
    data = path.read_bytes()
    try:
        return _parsed(path, data, folder)
    except (ValueError, EOFError, struct.error, zipfile.BadZipFile):
        return data  # half of such a file


def _parsed(path: Path, data: bytes, folder: Path) -> object:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {n: (str(file[n].dtype), file[n].shape, file[n].tobytes()) for n in file}
    if path.suffix == ".safetensors":
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        meta = json.loads(header.get("__metadata__", {}).get("avbook", "{}"))
        meta.pop("sums", None)  # one is of this header, with its seconds
        header["__metadata__"] = _steady(meta, folder)
        return {**header, "values": data[8 + length :]}
    if path.suffix == ".json":
        found = json.loads(data)
        if path.name == "stage.json":
            found["files"] = sorted(found["files"])  # their checksums are also of their seconds
        return _steady(found, folder)
    return data.replace(str(folder).encode(), b".")


def _steady(value, folder: Path):
    """The same without what a clock says, and with the folder under one name."""
    if isinstance(value, dict):
        return {k: _steady(v, folder) for k, v in value.items() if k not in VOLATILE}
    if isinstance(value, list):
        return [_steady(part, folder) for part in value]
    return value.replace(str(folder), ".") if isinstance(value, str) else value


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for end in ("out", "err"):
        folder.with_name(f"{folder.name}.said.{end}").unlink(missing_ok=True)
