"""Commands killed by SIGKILL at random moments and continued, and a table of what came of them.

python tests/faults/kill.py --kills 100 --seed 3
python tests/faults/kill.py --seed 3 --only ma --number 2    one of them again
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

from kills import SCENARIOS, Scenario, killed_trial, make_reference, remove  # noqa: E402
from processes import PATIENCE  # noqa: E402
from valid_inputs import import_all, make_inputs  # noqa: E402
from watchdog import WRONG, Outcome, outcomes  # noqa: E402

EACH = 2.0  # kills of a trial, about
Case = tuple[str, int, bool]  # scenario, number, in a Python of its own


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="that find the command at work")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one scenario, or several with commas between them")
    parser.add_argument("--number", type=int, help="one trial of it")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--forks", action="store_true", help="no Python of its own for a command")
    asked = parser.parse_args()
    import_all()
    names = asked.only.replace(", ", "\0").split(",") if asked.only else [s.name for s in SCENARIOS]
    names = [name.replace("\0", ", ") for name in names]
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in names]
    started, found = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        here = Path(scratch)
        make_inputs({name for s in scenarios for name in s.given}, here / "valid", asked.processes)
        cases = deal(scenarios, asked.kills, asked.forks, asked.number)
        refer = partial(reference, here=here)
        wanted = sorted({(name, shell) for name, _, shell in cases})
        for (name, _), outcome in outcomes(
            wanted, refer, processes=asked.processes, patience=PATIENCE
        ):
            if outcome.kind != "accepted":
                raise RuntimeError(f"{name} cannot be run at all: {outcome.said}")
        call = partial(trial, seed=asked.seed, here=here)
        while cases:
            found += outcomes(cases, call, processes=asked.processes, patience=3 * PATIENCE)
            missing = asked.kills - sum(outcome.kills for _, outcome in found)
            cases = []
            if missing > 0 and asked.number is None and len(found) < 2 * asked.kills:
                cases = deal(scenarios, missing, asked.forks, None, 1000 + len(found))
                cases = [case for case in cases if case[::2] in wanted]
    print_table(found, time.monotonic() - started, asked.seed)
    return print_findings(found, asked.seed, asked.number is not None)


def deal(
    scenarios: list[Scenario], kills: int, forks: bool, number: int | None, first: int = 0
) -> list[Case]:
    """The trials: each scenario its share; every other one in a Python of its own."""
    whole = sum(scenario.share for scenario in scenarios)
    cases = []
    for scenario in scenarios:
        count = max(1, round(kills * scenario.share / whole / EACH))
        for at in range(first, first + count) if number is None else [number]:
            cases.append((scenario.name, at, scenario.shell or (at % 2 == 1 and not forks)))
    return sorted(cases, key=lambda case: (case[1], case[0]))


def _scenario(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def _reference_folder(here: Path, name: str, shell: bool) -> Path:
    return here / "whole" / f"{name.replace(' ', '-')}{'-shell' * shell}" / "here"


def reference(case: tuple[str, bool], here: Path) -> Outcome:
    name, shell = case
    return make_reference(
        _scenario(name), shell, here / "valid", _reference_folder(here, name, shell)
    )


def trial(case: Case, seed: int, here: Path) -> Outcome:
    name, number, shell = case
    folder = here / f"{name.replace(' ', '-')}-{number}"
    rng = random.Random(f"{seed}/{name}/{number}")
    whole = _reference_folder(here, name, shell)
    try:
        return killed_trial(_scenario(name), shell, rng, here / "valid", whole, folder)
    finally:
        remove(folder)


# ---------------------------------------------------------------------------------------- showing
def print_table(found: list[tuple[Case, Outcome]], seconds: float, seed: int) -> None:
    kills = sum(outcome.kills for _, outcome in found)
    print(f"{kills} kills in {len(found)} trials of seed {seed}, {seconds:.0f} s")
    kinds = ["accepted", *(k for k in WRONG if any(outcome.kind == k for _, outcome in found))]
    names = {"accepted": "the same"}
    width = max(len(scenario.name) for scenario in SCENARIOS)
    print(f"{'':{width}}  trials  kills  " + "  ".join(f"{names.get(k, k):>9}" for k in kinds))
    for scenario in SCENARIOS:
        these = [outcome for case, outcome in found if case[0] == scenario.name]
        if these:
            count = Counter(outcome.kind for outcome in these)
            row = "  ".join(f"{count[kind]:9}" for kind in kinds)
            landed = sum(outcome.kills for outcome in these)
            print(f"{scenario.name:{width}}  {len(these):6}  {landed:5}  {row}")


def print_findings(found: list[tuple[Case, Outcome]], seed: int, all_of_them: bool) -> int:
    """What went wrong, and how to try it again; 1 where something did."""
    wrong = [(case, outcome) for case, outcome in found if outcome.kind != "accepted"]
    for (name, number, _), outcome in found if all_of_them else sorted(wrong)[:20]:
        print(f"\n{outcome.kind}: {outcome.said}\n    killed: {outcome.what}")
        print(f"    python tests/faults/kill.py --seed {seed} --only {name!r} --number {number}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
