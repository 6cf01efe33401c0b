"""Commands killed at random moments and continued leave what an uninterrupted command leaves: the
same records, weights, predictions and features, no process and no half-written file."""

from pathlib import Path

import pytest
from forked import run_forked, script

KILL = Path(__file__).with_name("kill.py")


def kill(*words):
    """What it prints; fails where a continued command leaves something else."""
    code, out, err = run_forked(script, str(KILL), *map(str, words))
    assert code == 0, out + err
    return out


def test_a_few_kills():
    """In forks that have their libraries, so that a kill finds them at work."""
    names = "psp-full,ma,cmlcl,pack,world,features"
    kill("--kills", 12, "--seed", 0, "--forks", "--only", names)


@pytest.mark.soak
def test_a_hundred_kills(capsys):
    said = kill("--kills", 100, "--seed", 1)
    with capsys.disabled():
        print("\n" + said)
