"""Worker processes on this machine, by joblib's loky: they end with this process, and a dead worker
never leaves this process waiting."""

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


PATIENCE = 5  # seconds that loky has to notice a dead worker


class LocalPool:
    """Worker processes. They never see Ctrl-C, and end with this process."""

    def __init__(
        self,
        workers: int,
        threads: int | None = None,  # of each worker's libraries; None: its share of the cores
    ):
        self.workers, self.threads = workers, threads
        self.executor: Any = None
        self.seen_dead = 0.0  # time at which a dead worker was first seen

    def submit(self, call: Callable[[Any], Any], item: Any) -> Future:
        """Sends the call to the workers, which start with the first call; raises `NoProcesses` if
        they cannot start."""
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
        """Raises `WorkerLost` for a death that loky does not notice: a worker killed while it sends
        a result would leave loky waiting for ever."""
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
        """Ends the workers, at once or when they have no more work, and waits until they are
        gone."""
        if self.executor is None:
            return
        workers = list(self.executor._processes.values()) if kill else []
        for process in workers:
            _kill(process)
        reader = self.executor._executor_manager_thread
        if kill and reader is not None:
            reader.join(PATIENCE)
            if reader.is_alive():  # it waits for the rest of a dead worker's message
                with suppress(OSError, AttributeError):
                    self.executor._result_queue._writer.close()
        self.executor.shutdown()
        for process in workers:  # if some could not be started, loky waits for none
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
    """The environment of a worker: its number of library threads, and no crash report by Python,
    since this process reports a crash in one line."""
    share = str(max(cores() // workers, 1))
    found = {name: str(threads or os.environ.get(name, share)) for name in THREADS}
    return found | {"PYTHONFAULTHANDLER": os.environ.get("PYTHONFAULTHANDLER", "")}


SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, a kill, a terminal that is closed
    if hasattr(signal, name)
]


def start_trackers() -> None:
    """Starts the trackers: processes in which Python and loky note what a killed process would
    leave behind.

    They ignore Ctrl-C and a kill. Started here, they also survive a closed terminal, which would
    otherwise end them before the processes that need them."""
    if not hasattr(signal, "pthread_sigmask"):
        return
    from multiprocessing import resource_tracker

    from joblib.externals.loky.backend import resource_tracker as loky_tracker

    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        for tracker in (resource_tracker, loky_tracker):
            with suppress(OSError):  # no more processes available
                tracker.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Processes started in the block never see Ctrl-C; this process sees it after the block and
    stops them.

    A terminal sends Ctrl-C to all processes, and each would print a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    start_trackers()  # if they started in the block, Ctrl-C would get through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill(process: Any) -> None:
    if os.name != "posix":
        process.terminate()
    elif process.exitcode is None:  # otherwise the number may belong to another process
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


WATCH = "ends with its parent"  # name of a thread in each worker


def _begin_worker(
    parent: int,
    by_main_thread: bool,  # whether the parent's main thread starts this process
    notes: bool,  # whether warnings are printed in one line
) -> None:
    """The first thing that a worker does."""
    if notes:
        warnings.showwarning = show_note
    if os.name != "posix" or os.getpid() == parent:
        return
    if by_main_thread:
        _be_killed_with_parent()
    threading.Thread(target=_end_with, args=(parent,), name=WATCH, daemon=True).start()
    # blocked during the start; Ctrl-C stays blocked
    signal.pthread_sigmask(signal.SIG_UNBLOCK, set(SIGNALS) - {signal.SIGINT})


def _be_killed_with_parent() -> None:
    """Asks Linux to kill this process with its parent (precisely: with the thread that started it).
    A watching thread is not enough, since it waits for compiled code that holds Python's lock."""
    with suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))


PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


def _end_with(parent: int) -> None:
    """Ends this worker once its parent was killed; otherwise it would wait for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _in_worker(call: Callable[[Any], Any], item: Any) -> Any:
    from joblib.externals.loky.backend.reduction import dumps

    try:
        return call(item)
    except Exception as error:
        try:  # a result that cannot be sent would look like the death of the worker
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
