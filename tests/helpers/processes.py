"""Programs that tests start: where they are, how long one waits for them, and waiting for what they
do."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).absolute().parent
# seconds until a program counts as hung: many times what any needs, on a slow machine beside
# other work as well
PATIENCE = 1800


def wait_for(condition: Callable[[], object], process: subprocess.Popen) -> None:
    """Returns when the condition holds; fails where the program ends before, or hangs."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, (
            f"ended with {process.returncode} before it came to that: {process.communicate()}"
        )
        assert time.monotonic() < end, f"did not come to that in {PATIENCE} s"
        time.sleep(0.05)
