"""Commands on a disk that fills say so in one line, leave nothing half-written, and continue once
there is room, to the same files."""

from pathlib import Path

import pytest
from forked import run_forked, script

FILL = Path(__file__).with_name("fill.py")


def fill(*words):
    """What it prints; fails where a full disk does more than stop the command."""
    code, out, err = run_forked(script, str(FILL), *map(str, words))
    assert code == 0, out + err
    return out


@pytest.mark.parametrize("way", ["small disk", "failed write"])
def test_a_few_full_disks(way):
    fill("--trials", 18, "--seed", 0, "--only", way)


@pytest.mark.soak
def test_a_hundred_full_disks(capsys):
    said = fill("--trials", 120, "--seed", 1)
    with capsys.disabled():
        print("\n" + said)
