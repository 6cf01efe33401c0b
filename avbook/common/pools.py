"""Processes of this machine that compute calls, by joblib's loky: they end with this process, and
none is left waiting for one that died."""

from __future__ import annotations

import ctypes
import os
import pickle
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any

from avbook.common.messages import show_note
from avbook.common.system import cores

__all__ = ["LocalPool", "NoProcesses", "WorkerLost", "start_trackers"]


class WorkerLost(Exception):
    """A worker died before its call returned."""


class NoProcesses(Exception):
    """The system has no more processes, pipes or semaphores."""


PATIENCE = 5  # seconds in which loky should have noticed that a worker is dead


class LocalPool:
    """Further processes. They never see Ctrl-C, and end with this process."""

    def __init__(
        self,
        workers: int,
        threads: int | None = None,  # that each one's libraries use; None: its share of the cores
    ):
        self.workers, self.threads = workers, threads
        self.executor: Any = None
        self.seen_dead = 0.0  # when a dead worker was first seen

    def submit(self, call: Callable[[Any], Any], item: Any) -> Future:
        """Sends the call to the workers, which start with the first one; raises `NoProcesses` where
        they cannot."""
        first = self.executor is None
        try:
            with _signals_held():
                if first:
                    self.executor = self._start()
                return self.executor.submit(_in_worker, call, item)
        except BrokenProcessPool as error:
            raise WorkerLost(_why_broken(error)) from error
        except (OSError, NotImplementedError) as error:
            if first:
                raise NoProcesses from error
            raise

    def _start(self) -> Any:
        from joblib.externals.loky import ProcessPoolExecutor

        return ProcessPoolExecutor(
            self.workers,
            initializer=_begin_worker,
            initargs=(os.getpid(), _in_main_thread(), warnings.showwarning is show_note),
            env=_environment(self.workers, self.threads),
        )

    def result(self, future: Future) -> Any:
        self.seen_dead = 0.0
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise WorkerLost(_why_broken(error)) from error

    def check(self) -> None:
        """A worker that is killed while it sends a result leaves loky waiting for the rest of it,
        for ever: what loky does not notice is noticed here."""
        codes = [process.exitcode for process in list(self.executor._processes.values())]
        dead = [code for code in codes if code is not None]
        if not dead:
            self.seen_dead = 0.0
        elif not self.seen_dead:
            self.seen_dead = time.monotonic()
        elif time.monotonic() > self.seen_dead + PATIENCE:
            raise WorkerLost(f"exit code {dead[0]}")

    def restart(self) -> bool:
        self.stop(kill=True)
        self.executor, self.seen_dead = None, 0.0
        return True

    def stop(self, kill: bool) -> None:
        """Ends the workers, at once or when they have nothing to do, and waits until they are
        gone."""
        if self.executor is None:
            return
        workers = list(self.executor._processes.values()) if kill else []
        for process in workers:
            _kill(process)
        reader = self.executor._executor_manager_thread
        if kill and reader is not None:
            reader.join(PATIENCE)
            if reader.is_alive():  # it waits for the rest of what one that is dead began to send
                with suppress(OSError, AttributeError):
                    self.executor._result_queue._writer.close()
        self.executor.shutdown()
        for process in workers:  # where not all could be started, loky waits for none
            process.join()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def _environment(workers: int, threads: int | None) -> dict[str, str]:
    """What a worker's environment has of its own: threads of its libraries, and no report of
    Python's on a crash, which this process tells in a line."""
    share = str(max(cores() // workers, 1))
    found = {name: str(threads or os.environ.get(name, share)) for name in THREADS}
    return found | {"PYTHONFAULTHANDLER": os.environ.get("PYTHONFAULTHANDLER", "")}


SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, a kill, a terminal that is closed
    if hasattr(signal, name)
]


def start_trackers() -> None:
    """Starts the processes in which Python and loky note what a killed process would leave.

    They ignore Ctrl-C and a kill by themselves; started here, they outlive a closed terminal too,
    to which they would otherwise be lost before the processes that need them."""
    if not hasattr(signal, "pthread_sigmask"):
        return
    from multiprocessing import resource_tracker

    from joblib.externals.loky.backend import resource_tracker as loky_tracker

    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        for tracker in (resource_tracker, loky_tracker):
            with suppress(OSError):  # no more processes to be had
                tracker.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Processes that start in the block never see Ctrl-C (this one stops them); it sees it after.

    A terminal sends Ctrl-C to all of them, and each would print where it was."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    start_trackers()  # in the block, a start of theirs would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill(process: Any) -> None:
    if os.name != "posix":
        process.terminate()
    elif process.exitcode is None:  # else the number may be another's by now
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


WATCH = "ends with its parent"  # the name of a thread in each worker


def _begin_worker(
    parent: int,
    by_main_thread: bool,  # whether the parent's main thread starts this process
    notes: bool,  # whether warnings are told in a line
) -> None:
    """What a worker does first."""
    if notes:
        warnings.showwarning = show_note
    if os.name != "posix" or os.getpid() == parent:
        return
    if by_main_thread:
        _be_killed_with_parent()
    threading.Thread(target=_end_with, args=(parent,), name=WATCH, daemon=True).start()
    # held while it was started; Ctrl-C stays so
    signal.pthread_sigmask(signal.SIG_UNBLOCK, set(SIGNALS) - {signal.SIGINT})


def _be_killed_with_parent() -> None:
    """Asks Linux to kill this process with its parent (with the thread that started it, to be
    exact), since a watching thread waits for compiled code that keeps Python's lock."""
    with suppress(OSError, AttributeError):  # another system
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))


PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


def _end_with(parent: int) -> None:
    """Ends this worker once its parent was killed; it would wait for ever to be read."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _in_worker(call: Callable[[Any], Any], item: Any) -> Any:
    from joblib.externals.loky.backend.reduction import dumps

    try:
        return call(item)
    except Exception as error:
        try:  # one that cannot be sent would be taken for the death of the worker
            pickle.loads(dumps(error))
        except Exception:
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
        raise


def _why_broken(error: BrokenProcessPool) -> str:
    codes = re.search(r"exit codes of the workers are \{(.*?)\}", str(error))
    if codes:
        return codes[1]
    told = str(error.__cause__ or error).strip(' \n"').splitlines()
    return told[-1] if told else type(error).__name__
