"""Parallel calls: in processes of this machine, or on the workers of a cluster."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from avbook.common.options import check_choice
from avbook.common.pools import NoProcesses, WorkerLost
from avbook.common.system import cores
from avbook.errors import AvbookError

__all__ = ["ENGINES", "use_engine", "on_cluster", "count_workers", "in_processes"]

ENGINES = ("local", "dask", "ray")
REMEDY = "use --jobs 1; the same command continues"
AT_CLUSTER = 256  # calls that a cluster has at once by default
LOOK = 1  # seconds between checks for workers that died silently


class Pool(Protocol):
    """Workers that take calls; each call gives a future of the standard library."""

    def submit(self, call: Callable[[Any], Any], item: Any) -> Future: ...

    def result(self, future: Future) -> Any:
        """The return value or exception of the call; raises `WorkerLost` if its worker died."""

    def check(self) -> None:
        """Raises `WorkerLost` for a death that no future reports."""

    def restart(self) -> bool:
        """Whether there are new workers, to which lost calls can be sent again."""

    def stop(self, kill: bool) -> None:
        """Ends the workers: at once, or when they have no more work."""


class Cluster(Protocol):
    """Machines that an engine reaches."""

    def pool(self, threads: int | None) -> Pool: ...

    def close(self) -> None: ...


_CLUSTER: ContextVar[Cluster | None] = ContextVar("cluster", default=None)


# ------------------------------------------------------------------------------------------ engines
@contextmanager
def use_engine(
    name: str,  # "local", "dask" or "ray"
    # address of the cluster: dask's scheduler, such as "tcp://host:8786" (None: dask's own
    # configuration), or ray's head (None: ray's own configuration, else one is started here)
    address: str | None = None,
) -> Iterator[None]:
    """Within the block, parallel work (runs, clips of a world, features of videos) is computed by
    the engine's workers; this process alone writes.

    Raises `AvbookError` if the engine is unknown or not installed, or if the cluster does not
    answer."""
    check_choice("engine", name, ENGINES)
    if name == "local":
        if address is not None:
            raise AvbookError(f"--address {address}: expected with --engine dask or ray")
        yield
        return
    from avbook.common.clusters import connect

    cluster = connect(name, address)
    token = _CLUSTER.set(cluster)
    try:
        yield
    finally:
        _CLUSTER.reset(token)
        cluster.close()


def on_cluster() -> bool:
    """Whether the workers are those of a cluster, which may not see this machine's files."""
    return _CLUSTER.get() is not None


def count_workers(
    most: int | None = None,  # None: no limit
) -> int:
    """How many calls are worth computing at once: the number of cores of this process; on a
    cluster, which may grow with its load, many."""
    found = AT_CLUSTER if on_cluster() else cores()
    return found if most is None else min(found, most)


# -------------------------------------------------------------------------------------------- calls
def in_processes(
    call: Callable[[Any], Any],  # function of one item; it, the items and the results are pickled
    items: Iterable,
    workers: int,  # calls at once; without a cluster processes, where 1 means this process
    *,
    threads: int | None = None,  # library threads of each call; None: its share of the cores
    ordered: bool = True,  # False: results as they become ready
    at_once: int | None = None,  # results waiting for a slow reader at most; None: all
    remedy: str = REMEDY,  # advice if workers die
) -> Generator[Any, None, None]:
    """The result of the call for each item.

    If a worker dies, its call is repeated once; `AvbookError` is raised if a worker dies again.
    Exceptions of a call are raised here. Without further processes (the system refuses them, or
    this process is a daemon) this process computes. The work ends with the last result, when the
    iterator is closed, or when this process dies."""
    items = list(items)
    cluster = _CLUSTER.get()
    workers = min(workers, len(items))
    here = workers <= 1 or multiprocessing.current_process().daemon
    if not items or (cluster is None and here):
        yield from map(call, items)
        return
    if cluster is None:
        from avbook.common.pools import LocalPool

        pool: Pool = LocalPool(workers, threads)
    else:
        pool = cluster.pool(threads)
    finished = refused = False
    try:
        most = workers if cluster else 2 * workers  # keeps a local queue filled
        # not `yield from`, so that closing this iterator reaches `stop`
        for result in _results(pool, call, items, ordered, most, at_once or len(items)):  # noqa: UP028
            yield result
        finished = True
    except WorkerLost as error:
        raise AvbookError(
            f"a worker died, perhaps for lack of memory: {remedy} ({error})"
        ) from error
    except NoProcesses:
        refused = True
    finally:
        pool.stop(kill=not finished)
    if refused:
        yield from map(call, items)


def _results(
    pool: Pool,
    call: Callable[[Any], Any],
    items: list,
    ordered: bool,
    most: int,  # calls in the pool
    held: int,  # calls and unread results
) -> Iterator:
    """The results in order, or each as soon as it is ready."""
    futures: dict[int, Future] = {}  # of the items whose results are unread
    handed_out, restarted = 0, False
    while futures or handed_out < len(items):
        try:
            under_way = sum(not future.done() for future in futures.values())
            while handed_out < len(items) and under_way < most and len(futures) < held:
                futures[handed_out] = pool.submit(call, items[handed_out])
                handed_out += 1
                under_way += 1
            awaited = [futures[min(futures)]] if ordered else list(futures.values())
            ready = wait(awaited, LOOK, FIRST_COMPLETED).done
            for number in [n for n, future in futures.items() if future in ready]:
                result = pool.result(futures[number])
                del futures[number]
                yield result
            if not ready:
                pool.check()
        except WorkerLost as error:
            if restarted or not pool.restart():
                raise
            restarted = True
            warnings.warn(f"a worker died ({error}): its call is repeated", stacklevel=2)
            for number, future in futures.items():
                if not future.done() or future.cancelled() or future.exception() is not None:
                    futures[number] = pool.submit(call, items[number])
