"""What a machine gives a program: cores, worker processes, locks and a folder for caches."""

from __future__ import annotations

import ctypes
import errno
import multiprocessing
import os
import pickle
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from avbook.common.messages import one_line, show_note
from avbook.errors import AvbookError

__all__ = ["cores", "lacks_memory", "in_processes", "start_trackers", "lock", "cache_folder"]


def cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def lacks_memory(
    error: BaseException,
) -> bool:
    """Whether it was raised because memory ended: Python's, NumPy's, or torch's RuntimeError."""
    words = one_line(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("out of memory" in words or "can't allocate memory" in words)
    )


# --------------------------------------------------------------------------------- worker processes
REMEDY = "use --jobs 1; the same command continues"


def in_processes(
    call: Callable[[Any], Any],  # of one item; it, the items and the results are pickled
    items: Iterable,
    workers: int,  # processes; 1: this one computes
    *,
    threads: int | None = None,  # that each worker's libraries use; None: its share of the cores
    ordered: bool = True,  # False: results in the order in which they are ready
    at_once: int | None = None,  # items handed out together; None: all
    remedy: str = REMEDY,  # what to do where a worker dies
) -> Generator[Any, None, None]:
    """The result of the call for each item. A slow reader holds at most `at_once` results.

    Without further processes (the system refuses them, or this one is a daemon) this process
    computes. What a call raises is raised here; raises `AvbookError` where a worker dies. The
    workers end with the last result, when the iterator is closed, and when this process dies."""
    items = list(items)
    workers = min(workers, len(items))
    if workers <= 1 or multiprocessing.current_process().daemon:
        yield from map(call, items)
        return

    from joblib.externals.loky import ProcessPoolExecutor

    executor: Any = None
    handed_out = finished = False
    step = at_once or len(items)
    try:
        with _signals_held():
            executor = ProcessPoolExecutor(
                workers,
                initializer=_begin_worker,
                initargs=(os.getpid(), _in_main_thread(), warnings.showwarning is show_note),
                env=_environment(workers, threads),
            )
        for start in range(0, len(items), step):
            with _signals_held():
                futures = [
                    executor.submit(_in_worker, call, item) for item in items[start : start + step]
                ]
            handed_out = True
            # not `yield from`, so that an end of the reading comes to `_stop` here
            for result in _results(futures, ordered, executor):  # noqa: UP028
                yield result
        finished = True
    except BrokenProcessPool as error:
        raise AvbookError(
            f"a worker died, perhaps for want of memory: {remedy} ({_why_broken(error)})"
        ) from error
    except (OSError, NotImplementedError):
        if handed_out:  # raised by a call
            raise
    finally:
        _stop(executor, kill=not finished)
    if not handed_out:  # no more processes, pipes or semaphores to be had
        yield from map(call, items)


PATIENCE = 5  # seconds in which loky should have noticed that a worker is dead


def _results(futures: list, ordered: bool, executor: Any) -> Iterator:
    """The results in order, or each when it is ready.

    A worker that is killed while it sends a result leaves loky waiting for the rest of it, for
    ever: what loky does not notice is noticed here."""
    seen_dead = 0.0
    while futures:
        ready = wait(futures[:1] if ordered else futures, PATIENCE / 5, FIRST_COMPLETED).done
        for future in ready:
            futures.remove(future)
            yield future.result()
        codes = [process.exitcode for process in list(executor._processes.values())]
        dead = [code for code in codes if code is not None]
        if ready or not dead:
            seen_dead = 0.0
        elif not seen_dead:
            seen_dead = time.monotonic()
        elif time.monotonic() > seen_dead + PATIENCE:
            raise BrokenProcessPool(f"exit code {dead[0]}")


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


def _stop(executor: Any, kill: bool) -> None:
    """Ends the workers, at once or when they have nothing to do, and waits until they are gone."""
    if executor is None:
        return
    workers = list(executor._processes.values()) if kill else []
    for process in workers:
        _kill(process)
    reader = executor._executor_manager_thread
    if kill and reader is not None:
        reader.join(PATIENCE)
        if reader.is_alive():  # it waits for the rest of what one that is dead began to send
            with suppress(OSError, AttributeError):
                executor._result_queue._writer.close()
    executor.shutdown()
    for process in workers:  # where not all could be started, loky waits for none
        process.join()


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


# ------------------------------------------------------------------------------------------- locks
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def lock(
    path: str | os.PathLike,  # of the lock's own file; its folder is made
    busy: str | None = None,  # the error where another process holds it; None: wait for it
    remove: bool = False,  # the file as well, in the end
) -> Iterator[None]:
    """Held between processes while the block runs; the system frees it if the process dies.

    Raises `AvbookError` where the filesystem has no locks, and `busy` where it is held."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(path)
    try:
        held.acquire(timeout=-1 if busy is None else 0)
        while not _is_at(held, path):  # the one before removed the file of which this is the lock
            held.release()
            held.acquire(timeout=-1 if busy is None else 0)
    except Timeout:
        raise AvbookError(str(busy)) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
        raise AvbookError(
            f"{path.parent}: its filesystem has no locks between processes ({error}); choose a"
            " folder on one that has, such as a local disk (AVBOOK_CACHE is the cache's, --out a"
            " run's)"
        ) from None
    try:
        yield
    finally:
        if remove:  # before it is let go, or it might be another's already
            with suppress(OSError):  # Windows removes no file that is open
                path.unlink()
        with suppress(OSError):  # the file may have gone with its folder
            held.release()


def _is_at(held: FileLock, path: Path) -> bool:
    """Whether the lock is on the file that stands at the path now."""
    descriptor = getattr(getattr(held, "_context", None), "lock_file_fd", None)
    if not isinstance(descriptor, int) or os.name != "posix":
        return True
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def cache_folder(
    given: str | os.PathLike | None = None,  # None: $AVBOOK_CACHE, else the user's cache folder
) -> Path:
    """The folder in which worlds and hashes are kept; it need not exist yet. Raises `AvbookError`
    where the system knows no home for this user."""
    folder = Path(given or os.environ.get("AVBOOK_CACHE") or user_cache_path("avbook"))
    try:
        return folder.expanduser().absolute()
    except RuntimeError:
        raise AvbookError(
            f"{folder}: this user has no home folder; set AVBOOK_CACHE to a folder that can be"
            " written to"
        ) from None
