"""What a machine gives a program: cores, worker processes, locks and a folder for caches."""

from __future__ import annotations

import atexit
import errno
import multiprocessing
import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from avbook.errors import AvbookError

__all__ = ["cores", "in_processes", "lock", "cache_folder"]


def cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# --------------------------------------------------------------------------------- worker processes
def in_processes(
    call: Callable[[Any], Any],  # of one item; it, the items and the results are pickled
    items: Iterable,
    workers: int,  # processes; 1: this one computes
    *,
    threads: int | None = None,  # that each worker's libraries use; None: its share of the cores
    ordered: bool = True,  # False: results in the order in which they are ready
    at_once: int | None = None,  # items handed out together; None: all
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

    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky import get_reusable_executor

    with parallel_config("loky", inner_max_num_threads=threads):
        pool = Parallel(
            n_jobs=workers,
            return_as="generator" if ordered else "generator_unordered",
            batch_size=1,
            max_nbytes=None,  # arrays go through pipes, not through files that outlive a crash
        )
    children = set(multiprocessing.active_children())
    results = executor = None
    try:
        for start in range(0, len(items), at_once or len(items)):
            some = items[start : start + (at_once or len(items))]
            with _interrupts_held():
                results = pool(delayed(_in_worker)(call, item, os.getpid()) for item in some)
                executor = get_reusable_executor(reuse=True)  # the one it uses
            # not `yield from`, so that `_stop` closes them
            for result in results:  # noqa: UP028
                yield result
    except BrokenProcessPool as error:
        raise AvbookError(
            f"a worker process ended early ({_why_broken(error)}); was it stopped, or is memory"
            " short? Run it again, with fewer processes if need be"
        ) from error
    except (OSError, NotImplementedError):
        if results is not None:  # raised by a call
            raise
    finally:
        _stop(results, executor, set(multiprocessing.active_children()) - children)
    if results is None:  # no more processes, pipes or semaphores to be had
        yield from map(call, items)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Processes that start in the block never see Ctrl-C (this one stops them); it sees it after.

    A terminal sends Ctrl-C to all of them, and each would print where it was."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    from joblib.externals.loky.backend import resource_tracker as loky_tracker

    for tracker in (resource_tracker, loky_tracker):  # a start of theirs would let it through again
        tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop(results: Any, executor: Any, started: set) -> None:
    """Ends the workers; joblib would keep them for minutes, with all that they hold."""
    if executor is None:
        for process in started:
            process.terminate()
            process.join()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joblib's, that there were tasks left
        results.close()
    executor.shutdown()
    # joblib forgets its folders at exit, which a child of multiprocessing never reaches
    folders = getattr(executor, "_temp_folder_manager", None)
    for forget in list(getattr(folders, "_finalizers", {}).values()):
        forget()
        atexit.unregister(forget)


WATCH = "ends with its parent"  # the name of a thread in each worker


def _in_worker(call: Callable[[Any], Any], item: Any, parent: int) -> Any:
    watched = any(thread.name == WATCH for thread in threading.enumerate())
    if os.name == "posix" and os.getpid() != parent and not watched:
        threading.Thread(target=_end_with, args=(parent,), name=WATCH, daemon=True).start()
    return call(item)


def _end_with(parent: int) -> None:
    """Ends this worker once its parent was killed; it would wait for ever to be read."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


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
) -> Iterator[None]:
    """Held between processes while the block runs; the system frees it if the process dies.

    Raises `AvbookError` where the filesystem has no locks, and `busy` where it is held."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(path)
    try:
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
        with suppress(OSError):  # the file may have gone with its folder
            held.release()


def cache_folder(
    given: str | os.PathLike | None = None,  # None: $AVBOOK_CACHE, else the user's cache folder
) -> Path:
    """The folder in which worlds and hashes are kept; it need not exist yet."""
    return (
        Path(given or os.environ.get("AVBOOK_CACHE") or user_cache_path("avbook"))
        .expanduser()
        .absolute()
    )
