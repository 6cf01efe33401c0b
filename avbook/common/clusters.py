"""Clusters that compute calls: a dask scheduler with its workers, or ray."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import avbook
from avbook.common.messages import one_line
from avbook.common.pools import WorkerLost
from avbook.errors import AvbookError

__all__ = ["connect", "DaskCluster", "RayCluster"]

TIMEOUT = 20  # seconds that a scheduler has to answer


def connect(
    name: str,  # "dask" or "ray"
    address: str | None,  # None: the engine's own configuration
) -> DaskCluster | RayCluster:
    """The cluster; raises `AvbookError` if the engine is not installed or nothing answers."""
    return DaskCluster(address) if name == "dask" else RayCluster(address)


def _load(name: str, module: str) -> Any:
    try:
        return __import__(module)
    except ImportError as error:
        raise AvbookError(
            f"--engine {name}: cannot be loaded ({one_line(error)}); install it: pip install"
            f" 'avbook[{name}]'"
        ) from error


def _knock(
    address: str,  # HOST:PORT, optionally with a protocol in front
    default_port: int,
) -> None:
    """Raises `OSError` or `ValueError` if nothing listens. Checked here, since the engines' own
    attempts leave threads behind or end the process."""
    found = urlsplit(address if "://" in address else f"tcp://{address}")
    if found.hostname is None:
        raise ValueError("no host in it")
    if found.scheme in ("tcp", "tls", "ray"):
        port = found.port or default_port
        socket.create_connection((found.hostname, port), TIMEOUT).close()


# ---------------------------------------------------------------------------------------- a call
@dataclass(frozen=True)
class _Answer:
    """The outcome of a call, sent back whole: engines change the exceptions that calls raise."""

    value: Any = None
    error: Exception | None = None


# held during a call: several workers may live in one process, as those of dask's
# `LocalCluster(processes=False)`, and share one random state
ONE_AT_A_TIME = threading.Lock()


def _answer(call: Callable[[Any], Any], item: Any, threads: int | None, version: str) -> _Answer:
    """Makes the call in a worker."""
    try:
        _check_worker(version)
        with ONE_AT_A_TIME:
            return _Answer(_limited(call, item, threads))
    except Exception as error:
        return _Answer(error=error)


def _check_worker(version: str) -> None:
    """Raises `AvbookError` if this worker cannot be used."""
    here = f"the worker on {socket.gethostname()}"
    if avbook.__version__ != version:
        raise AvbookError(
            f"{here} has avbook {avbook.__version__}; expected {version}, as in this process:"
            " install the same version on every worker"
        )
    if _dask_threads() > 1:
        raise AvbookError(
            f"{here} computes {_dask_threads()} calls at once in one process, which would share"
            " random numbers and threads; expected 1: start workers with `dask worker"
            " --nthreads 1 --nworkers N`"
        )


def _dask_threads() -> int:
    """How many calls the dask worker of this call runs at once; 1 outside of dask."""
    import sys

    if "distributed" not in sys.modules:
        return 1
    from distributed import get_worker

    try:
        return get_worker().state.nthreads
    except ValueError:  # outside of a task
        return 1


def _limited(call: Callable[[Any], Any], item: Any, threads: int | None) -> Any:
    """Makes the call with this number of threads in the numeric libraries, on which the last bits
    may depend."""
    if threads is None:
        return call(item)
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    with threadpool_limits(threads):
        return call(item)


def _value(answer: _Answer) -> Any:
    if answer.error is not None:
        raise answer.error
    return answer.value


# ------------------------------------------------------------------------------------------- dask
class DaskCluster:
    """The workers of a dask scheduler.

    If a worker is lost, the scheduler repeats its call, as often as its setting
    `distributed.scheduler.allowed-failures` allows."""

    def __init__(self, address: str | None):
        _load("dask", "distributed")
        import dask
        from distributed import Client

        self.address = address or dask.config.get("scheduler-address", None)
        if self.address is None:
            raise AvbookError(
                "--engine dask: expected --address, such as tcp://HOST:8786, where `dask scheduler`"
                " listens"
            )
        try:
            _knock(self.address, 8786)
            self.client = Client(self.address, timeout=TIMEOUT, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise AvbookError(
                f"--address {self.address}: no dask scheduler answers there"
                f" ({one_line(error, 200)}); start one with `dask scheduler`, or give the address"
                " that it prints"
            ) from error

    def pool(self, threads: int | None) -> _DaskPool:
        return _DaskPool(self, threads)

    def close(self) -> None:
        self.client.close()


class _DaskPool:
    def __init__(self, cluster: DaskCluster, threads: int | None):
        self.cluster, self.threads = cluster, threads
        self.executor = cluster.client.get_executor(pure=False)

    def submit(self, call: Callable[[Any], Any], item: Any) -> Future:
        return self.executor.submit(_answer, call, item, self.threads, avbook.__version__)

    def result(self, future: Future) -> Any:
        from distributed import KilledWorker

        try:
            answer = future.result()
        except KilledWorker as error:
            raise WorkerLost(one_line(error, 200)) from error
        except CancelledError:
            raise self._lost() from None
        return _value(answer)

    def check(self) -> None:
        if self.cluster.client.status not in ("running", "connecting"):
            raise self._lost()

    def _lost(self) -> AvbookError:
        return AvbookError(
            f"{self.cluster.address}: the dask scheduler is gone; start it and its workers again:"
            " the same command continues"
        )

    def restart(self) -> bool:
        return False  # the scheduler has repeated the call itself

    def stop(self, kill: bool) -> None:
        self.executor.shutdown(wait=False)


# -------------------------------------------------------------------------------------------- ray
class RayCluster:
    """The workers of a ray cluster, or of one that is started on this machine."""

    def __init__(self, address: str | None):
        self.ray = _load("ray", "ray")
        self.started = not self.ray.is_initialized()
        try:
            if self.started:
                if address not in (None, "auto", "local"):
                    _knock(address, 6379)
                self.ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (OSError, ValueError, RuntimeError) as error:
            raise AvbookError(
                f"--address {address}: no ray cluster answers there ({one_line(error, 200)}); start"
                " one with `ray start --head`, or leave --address out for one on this machine"
            ) from error
        self.remote = self.ray.remote(max_retries=1)(_answer)

    def pool(self, threads: int | None) -> _RayPool:
        return _RayPool(self, threads)

    def close(self) -> None:
        if self.started:
            self.ray.shutdown()


class _RayPool:
    def __init__(self, cluster: RayCluster, threads: int | None):
        self.cluster, self.threads = cluster, threads
        self.tasks: dict[Future, Any] = {}  # future -> reference of ray

    def submit(self, call: Callable[[Any], Any], item: Any) -> Future:
        task = self.cluster.remote.remote(call, item, self.threads, avbook.__version__)
        future = task.future()
        self.tasks[future] = task
        return future

    def result(self, future: Future) -> Any:
        del self.tasks[future]
        try:
            answer = future.result()
        except self.cluster.ray.exceptions.RayError as error:
            raise WorkerLost(one_line(error, 200)) from error
        return _value(answer)

    def check(self) -> None:
        pass

    def restart(self) -> bool:
        return False  # ray has repeated the call itself

    def stop(self, kill: bool) -> None:
        for task in self.tasks.values():
            with suppress(Exception):  # if the cluster is gone
                self.cluster.ray.cancel(task, force=True)
        self.tasks.clear()
