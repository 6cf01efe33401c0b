"""Commands on a disk that fills, then once more with room, and a table of what came of them.

python tests/faults/fill.py --trials 60 --seed 3
python tests/faults/fill.py --seed 3 --only "small disk" --number 2    one of them again
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "helpers")]

from full_disk import (  # noqa: E402
    can_mount,
    failed_write_trial,
    largest_file_trial,
    small_disk_trial,
)
from kills import SCENARIOS, make_reference, remove  # noqa: E402
from processes import PATIENCE  # noqa: E402
from valid_inputs import import_all, make_inputs  # noqa: E402
from watchdog import RIGHT, WRONG, Outcome, outcomes  # noqa: E402

WAYS = {
    "small disk": small_disk_trial,
    "failed write": failed_write_trial,
    "largest file": largest_file_trial,
}
# the others write as these do
NAMES = ("psp-full", "ma", "cmlcl", "pack", "world", "features")
COMMANDS = [s for s in SCENARIOS if s.name in NAMES]
Case = tuple[str, int]  # way, number


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(WAYS), help="one way to fill the disk")
    parser.add_argument("--number", type=int, help="one trial of it")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    started = time.monotonic()
    ways = [asked.only] if asked.only else list(WAYS)
    if "small disk" in ways and not can_mount():
        print("small disk: not tried, since this kernel lets no user mount a file system")
        ways.remove("small disk")
    import_all()
    cases = [(way, number) for number in range(-(-asked.trials // len(WAYS))) for way in ways]
    if asked.number is not None:
        cases = [(way, asked.number) for way in ways]
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        here = Path(scratch)
        make_inputs({n for c in COMMANDS for n in c.given}, here / "valid", asked.processes)
        refer = partial(reference, here=here)
        for name, outcome in outcomes(
            [c.name for c in COMMANDS], refer, processes=asked.processes, patience=PATIENCE
        ):
            if outcome.kind != "accepted":
                raise RuntimeError(f"{name} cannot be run at all: {outcome.said}")
        call = partial(trial, seed=asked.seed, here=here)
        found = list(outcomes(cases, call, processes=asked.processes, patience=PATIENCE))
    print(f"{len(found)} full disks of seed {asked.seed}, {time.monotonic() - started:.0f} s")
    return print_findings(found, asked.seed, asked.number is not None)


def reference(name: str, here: Path) -> Outcome:
    command = next(c for c in COMMANDS if c.name == name)
    return make_reference(command, False, here / "valid", here / "whole" / name / "here")


def trial(case: Case, seed: int, here: Path) -> Outcome:
    way, number = case
    command = COMMANDS[number % len(COMMANDS)]
    folder = here / f"{way.replace(' ', '-')}-{number}"
    rng = random.Random(f"{seed}/{way}/{number}")
    try:
        whole = here / "whole" / command.name / "here"
        return WAYS[way](command, rng, here / "valid", whole, folder)
    finally:
        remove(folder)


def print_findings(found: list[tuple[Case, Outcome]], seed: int, all_of_them: bool) -> int:
    """Counts by way and by what came of it, then what went wrong and how to try it again; 1 where
    something did."""
    kinds = [*RIGHT[:2], *(k for k in WRONG if any(o.kind == k for _, o in found))]
    names = {"accepted": "had room", "refused": "one line"}
    print(f"{'':14}" + "  ".join(f"{names.get(k, k):>9}" for k in kinds))
    for way in WAYS:
        count = Counter(outcome.kind for case, outcome in found if case[0] == way)
        if count:
            print(f"{way:14}" + "  ".join(f"{count[kind]:9}" for kind in kinds))
    wrong = [(case, outcome) for case, outcome in found if outcome.kind not in RIGHT[:2]]
    for (way, number), outcome in found if all_of_them else sorted(wrong)[:20]:
        name = COMMANDS[number % len(COMMANDS)].name
        print(f"\n{outcome.kind}: {name}, {outcome.what}: {outcome.said}")
        print(f"    python tests/faults/fill.py --seed {seed} --only {way!r} --number {number}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
