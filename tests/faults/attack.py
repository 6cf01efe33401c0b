"""Spoilt inputs into every command and loader, and a table of what came of them.

python tests/faults/attack.py --inputs 2000 --seed 3
python tests/faults/attack.py --seed 3 --only "load ave" --number 17    one of them again
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "helpers")]

from targets import TARGETS, Target, examine  # noqa: E402
from valid_inputs import import_all, make_inputs  # noqa: E402
from watchdog import ODD, RIGHT, WRONG, Outcome, outcomes  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one target", choices=[t.name for t in TARGETS])
    parser.add_argument("--number", type=int, help="one input of it")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--patience", type=float, default=20, help="seconds until a call hangs")
    parser.add_argument("--shown", type=int, default=6, help="places of a kind that are listed")
    asked = parser.parse_args()
    import_all()
    targets = [target for target in TARGETS if asked.only in (None, target.name)]
    cases = deal(targets, asked.inputs, asked.seed)
    if asked.number is not None:
        cases = [(targets[0].name, asked.number)]
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        inputs = Path(scratch) / "valid"
        started = time.monotonic()
        make_inputs({target.given for target in targets} | {"ave", "llp"}, inputs, asked.processes)
        call = partial(one, seed=asked.seed, inputs=inputs, scratch=Path(scratch))
        found = list(outcomes(cases, call, processes=asked.processes, patience=asked.patience))
    print(f"{len(found)} inputs of seed {asked.seed} in {time.monotonic() - started:.0f} s")
    if asked.number is not None:
        print(*(f"{outcome.kind}: {outcome.what}\n{outcome.said}" for _, outcome in found))
    print_table(found)
    return print_findings(found, asked.seed, asked.shown)


def deal(targets: list[Target], inputs: int, seed: int) -> list[tuple[str, int]]:
    """(target, number) of all inputs, each target its share, in a mixed order."""
    whole = sum(target.share for target in targets)
    cases = [
        (target.name, number)
        for target in targets
        for number in range(max(1, round(inputs * target.share / whole)))
    ]
    random.Random(seed).shuffle(cases)
    return cases


def one(case: tuple[str, int], seed: int, inputs: Path, scratch: Path) -> Outcome:
    """What came of one input; the same whenever seed, target and number are."""
    name, number = case
    target = next(target for target in TARGETS if target.name == name)
    folder = scratch / f"{name.replace(' ', '-')}-{number}"
    folder.mkdir()
    shutil.copytree(inputs / target.given, folder / "in")
    try:
        return examine(target, folder, inputs, random.Random(f"{seed}/{name}/{number}"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---------------------------------------------------------------------------------------- showing
def print_table(found: list[tuple[tuple[str, int], Outcome]]) -> None:
    """Counts by target and by what came of it."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for (name, _), outcome in found:
        counts[name][outcome.kind] += 1
    always = (*RIGHT, *WRONG[:6])
    kinds = [k for k in (*RIGHT, *ODD, *WRONG) if k in always or any(counts[n][k] for n in counts)]
    width = max(len(name) for name in [*counts, "all"])
    print(f"{'':{width}}  inputs  " + "  ".join(f"{kind:>9}" for kind in kinds))
    for target in [t for t in TARGETS if t.name in counts]:
        row = counts[target.name]
        print(_line(target.name, row, kinds, width))
    print(_line("all", sum(counts.values(), Counter()), kinds, width))


def _line(name: str, row: Counter, kinds: list[str], width: int) -> str:
    return f"{name:{width}}  {row.total():6}  " + "  ".join(f"{row[kind]:9}" for kind in kinds)


def print_findings(
    found: list[tuple[tuple[str, int], Outcome]],
    seed: int,
    shown: int,  # places of a kind
) -> int:
    """The findings of each kind, one of a place, and how to see them again; 1 where there is one
    that no input may cause."""
    for kind in (*WRONG, *ODD):
        these = [(case, outcome) for case, outcome in found if outcome.kind == kind]
        by_place: dict[str, list] = defaultdict(list)
        for case, outcome in sorted(these, key=lambda pair: pair[0]):
            by_place[_place(case[0], outcome)].append((case, outcome))
        if these:
            print(f"\n{kind}: {len(these)} inputs, {len(by_place)} places")
        for group in sorted(by_place.values(), key=len, reverse=True)[:shown]:
            (name, number), outcome = group[0]
            print(f"  {len(group)} × {name}: {outcome.said[:230]}")
            print(f"      {outcome.what[:100]} … {outcome.what[-100:]}" if len(outcome.what) > 210
                  else f"      {outcome.what}")  # fmt: skip
            print(
                f"      python tests/faults/attack.py --seed {seed} --only {name!r}"
                f" --number {number}"
            )
    return int(any(outcome.kind in WRONG for _, outcome in found))


def _place(target: str, outcome: Outcome) -> str:
    """What findings of one cause have in common: the line that raised, else the target and how the
    message begins, folders and numbers apart."""
    if outcome.kind == "traceback":
        return outcome.said.split("): ")[0]
    return target + re.sub(r"/tmp/\S+/|\d+", "", outcome.said)[:50]


if __name__ == "__main__":
    sys.exit(main())
