"""Labels, timelines and exports at every moment at which they could be cut off: a process that dies
or a disk that is full at its n-th operation on files leaves the old output whole or the new one,
and the same call then ends as an uninterrupted one."""

from pathlib import Path

import pytest
from forked import run_forked, script

STOP = Path(__file__).with_name("stop.py")


@pytest.mark.parametrize("what", ["label", "timelines", "export"])
def test_cut_off_at_each_operation(what):
    code, out, err = run_forked(script, str(STOP), what)
    assert code == 0, out + err
