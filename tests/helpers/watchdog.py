"""Calls that may hang, die or raise, each in a forked process with a time limit, and what came of
them."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path

from forked import avbook_command

from avbook.errors import AvbookError

# what is right: the input was used, refused in one line, or the words were wrong usage
RIGHT = ("accepted", "refused", "usage")
# one line, but of a fault that avbook did not foresee, or longer than anybody reads
ODD = ("unexpected", "long")
# what no input may do
WRONG = (
    *("traceback", "hang", "died", "silent", "disagree", "leftover", "untidy"),
    *("different", "orphan"),
)
LONGEST = 2000  # characters of a message that counts as one line
MEMORY = 4 * 2**30  # bytes that a call may take beyond what its process has


@dataclass(frozen=True)
class Outcome:
    """What came of one case: its kind, out of `RIGHT`, `ODD` and `WRONG`, and what was said."""

    kind: str
    said: str = ""
    what: str = ""  # was done to the input
    seconds: float = 0.0
    kills: int = 0  # that found the process alive


# ----------------------------------------------------------------------------------- many processes
def outcomes(
    cases: Iterable,  # pickled
    examine: Callable[..., Outcome],  # of one case
    *,
    processes: int,
    patience: float,  # seconds for one case
) -> Iterator[tuple[object, Outcome]]:
    """(case, outcome) in the order in which they are ready. A process that hangs is killed with all
    that it started, and another takes its place.

    For a program without threads, since it forks."""
    waiting, workers = deque(cases), []
    try:
        while waiting or any(worker.case is not None for worker in workers):
            while waiting and len(workers) < processes:
                workers.append(_Worker(examine, patience))
            for worker in workers:
                if worker.case is None and waiting:
                    worker.give(waiting.popleft())
            busy = [worker for worker in workers if worker.case is not None]
            wait([worker.pipe for worker in busy], timeout=0.2)
            for worker in busy:
                case, outcome = worker.case, worker.answer()
                if outcome is not None:
                    yield case, outcome
            workers = [worker for worker in workers if worker.alive]
    finally:
        for worker in workers:
            worker.kill()


class _Worker:
    """A forked process that examines one case after the other."""

    def __init__(self, examine: Callable[..., Outcome], patience: float):
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.patience, self.case, self.alive = patience, None, True
        self.process = context.Process(target=_serve, args=(theirs, examine, os.getpid()))
        self.process.start()
        theirs.close()

    def give(self, case) -> None:
        self.case, self.started, self.noted = case, time.monotonic(), ""
        self.pipe.send(case)

    def answer(self) -> Outcome | None:
        """The outcome of its case; None where it is still at work."""
        spent = time.monotonic() - self.started
        found = None
        if self.pipe.poll():
            try:
                found = self.pipe.recv()
                if isinstance(found, str):
                    self.noted, found = "; ".join(filter(None, [self.noted, found])), None
            except EOFError:
                self.process.join()
                found = Outcome("died", f"the process ended with {self.process.exitcode}")
                self.kill()
        elif spent > self.patience:
            found = Outcome("hang", f"no answer in {self.patience:g} s {_where(self.process.pid)}")
            self.kill()
        if found is not None:
            self.case = None
            what = found.what or self.noted
            found = replace(found, what=what, seconds=found.seconds or spent)
        return found

    def kill(self) -> None:
        self.alive = False
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _where(pid: int) -> str:
    """What the kernel says the process waits in."""
    with suppress(OSError):
        return f"(in {Path(f'/proc/{pid}/wchan').read_text() or 'its own code'})"
    return ""


_PARENT: list = []  # the pipe to it


def note(what: str) -> None:
    """Tells what was done to the input ahead of the call, which may never come back."""
    for pipe in _PARENT:
        pipe.send(what)


def end_with_parent(parent: int) -> None:
    """From now on the kernel kills this process when its parent dies, even while it hangs."""
    kill_me = 1  # PR_SET_PDEATHSIG
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(kill_me, signal.SIGKILL)
    if os.getppid() != parent:  # it died before
        os._exit(1)


def _serve(pipe, examine: Callable[..., Outcome], parent: int) -> None:
    end_with_parent(parent)
    _PARENT[:] = [pipe]
    os.setsid()  # so that it is killed with what it started
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    limit_memory()
    with suppress(EOFError, BrokenPipeError):
        while True:
            case = pipe.recv()
            try:
                found = examine(case)
            except BaseException as error:  # of the harness itself
                found = Outcome("died", "harness: " + blame(error, inside="tests"))
            pipe.send(found)
    os._exit(0)


def limit_memory(more: int = MEMORY) -> None:
    """From now on this process may take so much beyond what it has: what asks for more than any
    machine has ends in MemoryError, not in the death of its neighbours."""
    try:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + more, hard))


# ---------------------------------------------------------------------------------- what was said
def tried(call: Callable, *arguments) -> tuple[Outcome, object]:
    """What came of a call into the library, and what it gave."""
    try:
        return Outcome("accepted"), call(*arguments)
    except AvbookError as error:
        return refusal(str(error)), None
    except Exception as error:
        return Outcome("traceback", blame(error)), None


def refusal(message: str) -> Outcome:
    """A refusal: in one line, or untidy."""
    if "\n" in message or not message.strip():
        return Outcome("untidy", f"{message.count(chr(10)) + 1} lines: {message[:100]!r}")
    if len(message) > LONGEST:
        return Outcome("long", f"{len(message)} characters: {message[:100]!r}")
    return Outcome("refused", message)


def blame(error: BaseException, inside: str = "avbook") -> str:
    """The exception, and the last line of the package that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"/{inside}/" in frame.filename] or frames[-1:]
    place = (
        f" ({inside}{ours[-1].filename.rpartition(f'/{inside}')[2]}:{ours[-1].lineno})"
        if ours
        else ""
    )
    return f"{type(error).__name__}{place}: {' '.join(str(error).split())[:160]}"


# ------------------------------------------------------------------------------------- the command
def command(
    *words: str,
    cwd: Path,
    environment: dict[str, str] | None = None,
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the avbook command, in a fork of this
    process; a negative code is a signal's."""
    note(" ".join(word[:40] if word.isalnum() else repr(word[:40]) for word in words))
    pid = start_command(*words, cwd=cwd, environment=environment, log=cwd / "said")
    _, status = os.waitpid(pid, 0)
    out, err = ((cwd / f"said.{end}").read_text(errors="replace") for end in ("out", "err"))
    for end in ("out", "err"):
        (cwd / f"said.{end}").unlink()
    return os.waitstatus_to_exitcode(status), out, err


def start_command(
    *words: str,
    cwd: Path,
    log: Path,  # standard output goes to LOG.out, standard error to LOG.err
    environment: dict[str, str] | None = None,
    session: bool = False,  # of its own
    before: Callable[[], None] = lambda: None,  # called in the process, ahead of the command
) -> int:
    """The number of a forked process that runs the avbook command."""
    parent, pid = os.getpid(), os.fork()
    if pid:
        return pid
    code = 70
    try:
        end_with_parent(parent)
        if session:
            os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.update(environment or {})
        os.chdir(cwd)
        for descriptor, end in ((1, "out"), (2, "err")):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(f"{log}.{end}", flags), descriptor)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        before()
        code = _exit_code(words)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)  # not what the parent registered for its own end


def _exit_code(words: tuple[str, ...]) -> int:
    try:
        avbook_command(*words)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def told(code: int, err: str) -> Outcome:
    """What came of a command, by its exit code and what it said on standard error."""
    lines = err.strip().splitlines()
    if "Traceback (most recent call last)" in err:
        return Outcome("traceback", blame_of(err))
    if code == 0:
        return Outcome("accepted")
    if code == 2:
        return Outcome("usage")
    if code != 1:
        return Outcome("died", f"exit code {code}: {err[-200:]!r}")
    noted = [line for line in lines if line.startswith("avbook: note: ")]  # a warning is no fault
    said = [line for line in lines if line.startswith("avbook: ") and line not in noted]
    if len(said) != 1 or said != lines[-1:]:
        return Outcome("untidy", f"exit code 1 and {len(lines)} lines: {err[-200:]!r}")
    if said[0].startswith("avbook: unexpected"):
        return Outcome("unexpected", said[0])
    return refusal(said[0])


def blame_of(err: str) -> str:
    """The same as `blame` of a traceback that was printed."""
    lines = err.strip().splitlines()
    frames = [line.split('"') for line in lines if line.strip().startswith('File "')]
    ours = [frame for frame in frames if "/avbook/" in frame[1]]
    place = ""
    if ours:
        number = ours[-1][2].split("line ")[1].split(",")[0]
        place = f" (avbook{ours[-1][1].rpartition('/avbook')[2]}:{number})"
    ends = [line for line in lines if line[:1].strip() and not line.startswith("Traceback")]
    name, _, words = (ends or ["?"])[-1].partition(":")
    return f"{name.rpartition('.')[2]}{place}:{words[:160]}"


def worst(*found: Outcome) -> Outcome:
    """The worst of several outcomes; of equal ones the first."""
    order = (*RIGHT, *ODD, *reversed(WRONG))
    return max(found, key=lambda outcome: order.index(outcome.kind))
