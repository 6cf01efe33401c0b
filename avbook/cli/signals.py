"""Ctrl-C, a kill and a closed terminal, handled from the start of the process."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType

PATIENCE = 10  # seconds for cleaning up, after which another Ctrl-C ends at once
STOPPED = "stopped; what was finished is kept, and the same command continues"


class Stopped(BaseException):
    """Raised by a signal that asks this process to end."""


class Signals:
    """Ctrl-C, a kill and a closed terminal, raised as `Stopped`.

    The first signal is raised at the current point of the program; later ones leave it time to
    clean up. A signal that was swallowed, by a destructor or by a library that catches everything,
    is raised again."""

    def __init__(self) -> None:
        self.came: int | None = None  # the first signal
        self.at = 0.0

    def listen(self) -> None:
        """Starts handling the signals; those that are ignored (`nohup`) stay ignored."""
        for number in self._numbers():
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._hear)
        if hasattr(signal, "SIGALRM"):
            signal.signal(signal.SIGALRM, self._raise_again)

    def ignore(self) -> None:
        """Stops handling them, for the last short steps."""
        for number in self._numbers():
            signal.signal(number, signal.SIG_IGN)
        if hasattr(signal, "SIGALRM"):
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_IGN)

    @property
    def code(self) -> int:
        """The exit code of the command: 130 for Ctrl-C, 143 for a kill, 0 without a signal."""
        return 128 + self.came if self.came is not None else 0

    @staticmethod
    def _numbers() -> list[int]:
        names = ("SIGINT", "SIGTERM", "SIGHUP")
        return [getattr(signal, name) for name in names if hasattr(signal, name)]

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.came is None:
            self.came, self.at = number, time.monotonic()
            if hasattr(signal, "setitimer"):
                signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
            raise Stopped
        if time.monotonic() > self.at + PATIENCE:
            os._exit(self.code)

    def _raise_again(self, number: int, frame: FrameType | None) -> None:
        """Raises it again, unless a block that cleans up is handling it."""
        handled = sys.exc_info()[1]
        seen: set[int] = set()
        while handled is not None and id(handled) not in seen:
            if isinstance(handled, Stopped):
                return
            seen.add(id(handled))
            handled = handled.__context__
        raise Stopped
