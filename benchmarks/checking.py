"""`avbook data check` and the identity of data at the official sizes: seconds and peak memory.

    python benchmarks/checking.py [--ave 4143] [--llp 11849] [--scratch DIR] [--out FILE.json]

AVE is stored in h5 files of float32 (4.2 GB), LLP in three .npy files per clip (8.1 GB); `--llp 0`
leaves it out. "check" reads every value, "first start" is `AVE(folder)` or `LLP(folder)` on files
that were never scanned, "second start" the same again, which finds the hash beside them. Nothing is
held in memory (`cache_mb=0`). Each line runs in its own process; files are in the page cache as far
as they fit. Not part of all.py: it takes 13 GB of disk."""

import json
import os
import tempfile
import time
from pathlib import Path

from made_up import ave_folder, llp_folder
from measure import Apart, arguments, machine, peak_memory_mb, row, write

WAYS = ("check", "first start", "second start")


def measure(task: str, way: str, folder: str) -> dict:
    """Seconds, and memory in megabytes: peak and before."""
    import avbook.data.packs  # noqa: F401  (imported first, so that no import is timed)
    from avbook.data.ave import AVE
    from avbook.data.llp import LLP
    from avbook.data.packs import check_folder
    from avbook.data.scan import SCAN_FILE

    if way == "first start":
        (Path(folder) / SCAN_FILE).unlink(missing_ok=True)
    before, started = peak_memory_mb(), time.perf_counter()
    if way == "check":
        assert not [issue for issue in check_folder(folder) if issue.level == "error"]
    else:
        {"ave": AVE, "llp": LLP}[task](folder, cache_mb=0)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak_memory_mb": peak_memory_mb(), "memory_before_mb": before}


def main() -> None:
    asked = arguments(__doc__, "checking", device=False)
    asked.add_argument("--ave", type=int, default=4143, help="clips of AVE")
    asked.add_argument("--llp", type=int, default=11849, help="clips of LLP")
    asked.add_argument("--scratch", type=Path, help="folder for the files; default: the system's")
    args = asked.parse_args()
    if args.one:
        return print(json.dumps(measure(**json.loads(args.one))))
    apart = Apart(__file__, measure, args.quick)
    sizes = {"ave": 10, "llp": 10} if args.quick else {"ave": args.ave, "llp": args.llp}
    found = {"name": "checking", "machine": machine("cpu"), "clips": sizes, "rows": []}
    for task, clips in sizes.items():
        if not clips:
            continue
        with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
            folder = Path(scratch) / task
            if task == "ave":
                ave_folder(folder, clips, "float32")
            else:
                llp_folder(folder, clips)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            if not args.quick:
                time.sleep(3)  # scans of files written just now are not stored
            os.sync()
            lines = {way: apart(task=task, way=way, folder=str(folder)) for way in WAYS}
        found[task] = {"megabytes": size / 1e6, "lines": lines}
        found["rows"].append(
            row(
                f"{task.upper()}: second start, {clips:,} clips",
                "first start, which reads every value",
                lines["second start"]["seconds"],
                lines["first start"]["seconds"],
                peak_memory_mb=lines["second start"]["peak_memory_mb"],
            )
        )
        for way, line in lines.items():
            print(
                f"{task} {clips} clips, {size / 1e9:.1f} GB, {way:12} {line['seconds']:7.2f} s,"
                f" {line['peak_memory_mb']:4.0f} MB at most"
                f" ({line['memory_before_mb']:.0f} before)",
                flush=True,
            )
    write(args.out, found)


if __name__ == "__main__":
    main()
