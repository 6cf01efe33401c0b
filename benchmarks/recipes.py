"""A whole run of each recipe, as a reader would start it: seconds on the clock, of processors, and
memory, on the world's quick preset.

    python benchmarks/recipes.py [--only NAME ...] [--out FILE.json]

Each is `avbook run NAME --data world --preset quick --seed 0` in a process of its own, the start of
Python included. The worlds are made before the first is timed. The seconds inside run records were
taken while other runs stood beside them; these were not."""

import sys
import tempfile
from pathlib import Path

from measure import ROOT, arguments, machine, row, timed_command, write


def command_of(name: str, data: str, out: Path) -> list[str]:
    """The command a reader would type."""
    options = {"data": data, "preset": "quick", "seed": 0, "jobs": 1, "device": "cpu", "out": out}
    return [
        sys.executable,
        "-m",
        "avbook",
        "run",
        name,
        *(word for key, value in options.items() for word in (f"--{key}", str(value))),
    ]


def main() -> None:
    from avbook.experiments.recipes import RECIPES

    asked = arguments(__doc__, "recipes", device=False)
    asked.add_argument("--only", nargs="+", choices=[*RECIPES])
    args = asked.parse_args()
    data, names = ("world:tiny", ["rule"]) if args.quick else ("world", args.only or [*RECIPES])
    for name in names:
        RECIPES[name].open_data(data)  # makes the world where it is not there yet
    found = {"name": "recipes", "machine": machine("cpu"), "data": data, "runs": {}}
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            command = command_of(name, data, Path(scratch) / "runs")
            line = timed_command(command, Path(scratch) / "log", {"PYTHONPATH": str(ROOT)})
            found["runs"][name] = {"command": "avbook " + " ".join(command[3:-2]), **line}
            print(
                f"{name:12} {line['seconds']:6.1f} s on the clock, {line['cpu_seconds']:6.1f} s of"
                f" processors, {line['peak_memory_mb']:5.0f} MB",
                flush=True,
            )
    found["rows"] = [
        row(
            f"{name}: a whole quick run on the world",
            "",
            line["seconds"],
            None,
            peak_memory_mb=line["peak_memory_mb"],
        )
        for name, line in found["runs"].items()
    ]
    write(args.out, found)


if __name__ == "__main__":
    main()
