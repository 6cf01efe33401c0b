"""A whole run of each recipe, as a user would start it: wall-clock seconds, CPU seconds, and
memory, on the world's quick preset.

    python benchmarks/recipes.py [--only NAME ...] [--out FILE.json]

Each run is `avbook run NAME --data world --preset quick --seed 0` in its own process, including the
start of Python. The worlds are made before the first run is timed. The seconds inside run records
were measured with other runs in parallel; these were not."""

import sys
import tempfile
from pathlib import Path

from measure import ROOT, arguments, machine, row, timed_command, write


def command_of(name: str, data: str, out: Path) -> list[str]:
    """The command that a user would type."""
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
        RECIPES[name].open_data(data)  # makes the world if it does not exist
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
