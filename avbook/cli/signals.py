"""Ctrl-C, a kill and a closed terminal, heard from the first moment on."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType

PATIENCE = 10  # seconds for tidying up, after which another Ctrl-C ends at once
STOPPED = "stopped; what was finished is kept, and the same command continues"


class Stopped(BaseException):
    """Raised by a signal that asks this process to end."""


class Signals:
    """Ctrl-C, a kill and a closed terminal, each raised as `Stopped`.

    The first is raised where the program is; later ones let it tidy up. One that was lost, in a
    destructor or where a library catches everything, is raised again."""

    def __init__(self) -> None:
        self.came: int | None = None  # the first
        self.at = 0.0

    def listen(self) -> None:
        """Begins to hear them; those that were to be ignored (`nohup`) still are."""
        for number in self._numbers():
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._hear)
        if hasattr(signal, "SIGALRM"):
            signal.signal(signal.SIGALRM, self._raise_again)

    def ignore(self) -> None:
        """Hears no more of them: what is left to be done takes no time."""
        for number in self._numbers():
            signal.signal(number, signal.SIG_IGN)
        if hasattr(signal, "SIGALRM"):
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_IGN)

    @property
    def code(self) -> int:
        """What the command then leaves with: 130 for Ctrl-C, 143 for a kill; 0 where none came."""
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
        """Unless it is being dealt with: then some block that tidies up handles it."""
        handled = sys.exc_info()[1]
        seen: set[int] = set()
        while handled is not None and id(handled) not in seen:
            if isinstance(handled, Stopped):
                return
            seen.add(id(handled))
            handled = handled.__context__
        raise Stopped
