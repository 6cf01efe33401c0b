"""All benchmarks, each script in its own process, and one table of the results.

    python benchmarks/all.py [--only steps refinement …] [--quick] [--device cuda] [--results DIR]

Each script writes DIR/NAME.json (default: benchmarks/results) and its own output as it runs; a
failing script does not stop the others, and the exit code says that one failed. `--quick` runs tiny
sizes, all in this process, into its own folder: it shows that everything works, but its times are
meaningless. `--table` prints the table of the results in DIR and runs nothing. `llp_real.py` is not
included: it takes an hour and a working folder."""

import argparse
import json
import os
import runpy
import subprocess
import sys
import time
import traceback
from pathlib import Path

from measure import RESULTS

HERE = Path(__file__).resolve().parent
SCRIPTS = (
    "metrics",
    "loading",
    "steps",
    "psp_epoch",
    "han_step",
    "cmran_step",
    "refinement",
    "search",
    "cmlcl_full",
    "recipes",
    "determinism",
    "features",
    "quick_step",
    "beyond_memory",
)
ON_CPU_ONLY = (
    "metrics",
    "loading",
    "psp_epoch",
    "cmlcl_full",
    "recipes",
    "determinism",
    "features",
    "quick_step",
    "beyond_memory",
)  # scripts without --device


def command_of(name: str, results: Path, quick: bool, device: str) -> list[str]:
    """The command line of the script."""
    return [
        sys.executable,
        str(HERE / f"{name}.py"),
        "--out",
        str(results / f"{name}.json"),
        *(["--quick"] if quick else []),
        *([] if name in ON_CPU_ONLY or device == "cpu" else ["--device", device]),
    ]


def run_here(command: list[str]) -> int:
    """The script's exit code, run in this process."""
    before, sys.argv = sys.argv, command[1:]
    try:
        runpy.run_path(command[1], run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        traceback.print_exc()
        return 1
    finally:
        sys.argv = before
    return 0


def read(results: Path) -> dict[str, dict]:
    """The records in a folder, by name."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(results.glob("*.json"))
        if path.is_file()
    }


def spelled(seconds: float | None) -> str:
    """Seconds with a suitable unit."""
    if seconds is None:
        return "–"
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} h"
    return (
        f"{seconds:,.1f} s"
        if seconds >= 1
        else f"{1000 * seconds:,.1f} ms"
        if seconds >= 1e-3
        else f"{1e6 * seconds:,.0f} µs"
    )


def table(records: dict[str, dict]) -> str:
    """The rows of all records as lines of equal columns."""
    titles = ("work", "time", "straightforward", "ratio", "of the peak", "memory")
    lines = [titles]
    for record in records.values():
        for found in record["rows"]:
            share, memory, ratio = (
                found.get("share_of_peak"),
                found.get("peak_memory_mb", found.get("step_memory_mb")),
                found.get("times_faster"),
            )
            lines.append(
                (
                    found["what"],
                    spelled(found["seconds"]),
                    spelled(found.get("straightforward_seconds")),
                    "–" if ratio is None else f"×{ratio:,.1f}",
                    "–" if share is None else f"{100 * share:.0f} %",
                    "–" if memory is None else f"{memory:,.0f} MB",
                )
            )
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        )
        for line in lines
    )


def main() -> int:
    asked = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("--only", nargs="+", choices=SCRIPTS, help="only these scripts")
    asked.add_argument(
        "--quick",
        action="store_true",
        help="tiny sizes, into runs/benchmarks/quick unless --results says otherwise",
    )
    asked.add_argument("--device", default="cpu", help="cpu, or cuda with a card")
    asked.add_argument("--results", type=Path, help="folder of the JSON files")
    asked.add_argument("--table", action="store_true", help="run nothing, print the stored results")
    args = asked.parse_args()
    results = args.results or (
        Path("runs/benchmarks/quick")
        if args.quick
        else RESULTS
        if args.device == "cpu"
        else RESULTS / args.device
    )
    failed = []
    for name in [] if args.table else args.only or SCRIPTS:
        if not (HERE / f"{name}.py").exists():
            print(f"{name}: no such script here", file=sys.stderr)
            failed.append(name)
            continue
        print(f"── {name}", flush=True)
        started = time.perf_counter()
        results.mkdir(parents=True, exist_ok=True)
        command = command_of(name, results, args.quick, args.device)
        code = (
            run_here(command)
            if args.quick
            else subprocess.run(command, env={**os.environ}).returncode
        )
        print(
            f"{name}: {time.perf_counter() - started:.0f} s"
            + (f", exit code {code}" if code else ""),
            flush=True,
        )
        failed += [name] * bool(code)
    print(table(read(results)))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
