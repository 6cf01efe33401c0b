"""How the command ends: with one line and an exit code, also after faults and signals."""

from __future__ import annotations

import os
import select
import sys
import threading
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from typing import NoReturn

from avbook.cli.signals import STOPPED, Signals, Stopped
from avbook.common.files import os_fault
from avbook.common.messages import one_line, show_note, tell
from avbook.common.system import lacks_memory
from avbook.errors import AvbookError

TRACEBACK = "--traceback"  # also AVBOOK_TRACEBACK=1


class Carried(Exception):
    """Carries an exception past typer, which would handle some of them itself; the exception is the
    cause."""


# ----------------------------------------------------------------------------------------- the end
def run_to_an_end(
    signals: Signals,  # already listening
    run: Callable[[list[str]], object],  # takes the command-line arguments
) -> NoReturn:
    """Runs the command and returns the exit code: 0, 1 for a fault, 2 for wrong usage, 130 for
    Ctrl-C."""
    outcome: BaseException | None = None
    try:
        try:
            _open_streams()
            _replace_hooks()
            run(_take_traceback(sys.argv[1:]))
        except BaseException as error:
            outcome = error
        signals.ignore()
    except Stopped as error:  # raised in the lines above
        outcome = error
    signals.ignore()
    code = _tell_end(outcome, signals.code)
    sys.exit(code or _flush())


def _replace_hooks() -> None:
    """Makes what Python itself prints one line as well."""
    warnings.showwarning = show_note
    # Python's resource tracker cleans up after a killed worker, and would report it at length
    filters = [os.environ.get("PYTHONWARNINGS"), "ignore:resource_tracker:UserWarning"]
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, filters))
    sys.unraisablehook = _note_unraisable
    threading.excepthook = _note_thread


def _take_traceback(words: list[str]) -> list[str]:
    """The arguments with --traceback moved before the command's name, where typer expects it."""
    end = words.index("--") if "--" in words else len(words)
    names = Counter(word.partition("=")[0] for word in words[:end] if word.startswith("--"))
    for name, times in names.items():
        if times > 1 and name not in ("--set", TRACEBACK):
            raise AvbookError(f"{name} is given {times} times; expected it once")
    if TRACEBACK not in words[:end]:
        return words
    os.environ["AVBOOK_TRACEBACK"] = "1"
    rest = [word for word in words[:end] if word != TRACEBACK] + words[end:]
    return [TRACEBACK, *rest] if rest else []


def _open_streams() -> None:
    """Makes the standard streams writable for any name and terminal encoding. A closed stream is
    replaced; otherwise a data file would get its file number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  open until the process ends
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _tell_end(outcome: BaseException | None, stopped: int) -> int:
    """Prints the final line and returns the exit code."""
    if isinstance(outcome, Carried):
        outcome = outcome.__cause__
    if _wants_traceback() and not isinstance(outcome, SystemExit | None):
        traceback.print_exception(outcome)
    if stopped:
        tell(STOPPED)
        return stopped
    if outcome is None:
        return 0
    if isinstance(outcome, SystemExit):
        return _code_of(outcome)
    if isinstance(outcome, BrokenPipeError) and _reader_has_gone():
        return _close_quietly()
    if isinstance(outcome, KeyboardInterrupt):  # raised by a library
        tell(STOPPED)
        return 130
    tell(_in_a_line(outcome))
    return 1


def _wants_traceback() -> bool:
    return os.environ.get("AVBOOK_TRACEBACK", "") not in ("", "0")


def _code_of(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    tell(error.code)
    return 1


def _in_a_line(error: BaseException) -> str:
    if isinstance(error, AvbookError):
        return one_line(error)
    if isinstance(error, OSError) and (error.errno or "errno = " in str(error)):  # or HDF5's
        return one_line(os_fault(None, error))
    if lacks_memory(error):
        told = f" ({one_line(error, 200)})" if str(error) else ""
        return (
            f"out of memory{told}; use smaller sizes or batches, fewer --jobs, or a machine with"
            " more"
        )
    told = one_line(error, 700)
    return (
        f"unexpected: {type(error).__name__}{' ' * bool(told)}{told}; run again with {TRACEBACK}"
        " for the full traceback"
    )


# ------------------------------------------------------------------------------ what was not raised
def _note_unraisable(unraisable) -> None:
    """Reports an exception that Python could not raise, such as one in a destructor, in one line
    instead of a traceback."""
    if not isinstance(unraisable.exc_value, Stopped | None):
        _note(unraisable.exc_value)


def _note_thread(arguments) -> None:
    if not isinstance(arguments.exc_value, SystemExit | None):
        _note(arguments.exc_value)


def _note(error: BaseException) -> None:
    tell(f"note: {type(error).__name__} {one_line(error, 700)}")


# --------------------------------------------------------------------------- a reader that is gone
def _reader_has_gone() -> bool:
    """Whether the reader of standard output has closed it, as `head` does."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(1, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _close_quietly() -> int:
    """Discards what Python would still write at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 1


def _flush() -> int:
    """0, or the exit code if standard output cannot be written, such as a file on a full disk."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _close_quietly()
    except OSError as error:
        _close_quietly()
        tell(os_fault("standard output", error))
        return 1
    return 0
