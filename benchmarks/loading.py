"""Reading an epoch of features at the official sizes: the official files, a pack of them, and
straightforward loaders; seconds and peak memory.

    python benchmarks/loading.py [--ave 400] [--llp 400] [--batch 32] [--out FILE.json]

AVE is stored in h5 files of float64, LLP in three .npy files per clip. Variants: "all in memory"
reads each h5 file whole and slices it, as released code does; "clip by clip" opens the file once
and reads one clip after the other; "official files" is `AVE(folder)` or `LLP(folder)`; "pack" reads
the float16 pack row by row; "pack in memory" holds it. All variants give the same float32 batches
in the same shuffled order, up to float16's rounding (asserted). Files are in the page cache, so
there is no waiting for a disk; on a disk the pack also benefits from a quarter of the bytes. Each
line runs in its own process; opening (with its checks) and an epoch are timed separately."""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
from made_up import LLP_SHAPES, ave_folder, llp_folder
from measure import Apart, arguments, machine, peak_memory_mb, row, write

WAYS = {
    "ave": ("all in memory", "clip by clip", "official files", "pack", "pack in memory"),
    "llp": ("clip by clip", "official files", "pack", "pack in memory"),
}


class Whole:
    """AVE read whole, in the precision of the file."""

    def __init__(self, folder: Path):
        import h5py

        self.arrays = {}
        for name in ("audio", "visual"):
            with h5py.File(folder / f"{name}_feature.h5") as file:
                self.arrays[name] = file["avadataset"][:]
        with h5py.File(folder / "train_order.h5") as file:
            self.rows = file["order"][:]

    def batch(self, rows):
        import torch

        return {
            name: torch.from_numpy(array[self.rows[rows]]).float()
            for name, array in self.arrays.items()
        }


class Singly:
    """AVE, or LLP, one clip after the other."""

    def __init__(self, folder: Path, task: str):
        import h5py

        self.folder, self.task = folder, task
        if task == "ave":
            self.files = {
                name: h5py.File(folder / f"{name}_feature.h5")["avadataset"]
                for name in ("audio", "visual")
            }
            with h5py.File(folder / "train_order.h5") as file:
                self.rows = file["order"][:]
        else:
            self.rows = [
                line[:11]
                for line in (folder / "AVVP_train.csv").read_text(encoding="utf-8").splitlines()[1:]
            ]

    def clip(self, row):
        import torch

        if self.task == "ave":
            return {
                name: torch.from_numpy(data[self.rows[row]]).float()
                for name, data in self.files.items()
            }
        kinds = dict(zip(("audio", "visual_2d", "visual_3d"), LLP_SHAPES))
        return {
            name: torch.from_numpy(np.load(self.folder / kind / f"{self.rows[row]}.npy"))
            for name, kind in kinds.items()
        }

    def batch(self, rows):
        import torch

        clips = [self.clip(row) for row in rows]
        return {name: torch.stack([clip[name] for clip in clips]) for name in clips[0]}


def opened(task: str, way: str, folder: Path):
    """An object with `batch(rows)` of the training clips, read in that way."""
    from avbook.data.ave import AVE
    from avbook.data.llp import LLP

    if way == "all in memory":
        return Whole(folder / "files")
    if way == "clip by clip":
        return Singly(folder / "files", task)
    kind = {"ave": AVE, "llp": LLP}[task]
    return kind(
        folder / ("files" if way == "official files" else "pack"),
        cache_mb=1e5 if way == "pack in memory" else 0,
    ).train


def measure(task: str, way: str, folder: str, clips: int, batch: int, epochs: int) -> dict:
    """Seconds to open and to read an epoch (the shortest of several), and peak memory."""
    import torch

    import avbook.data.ave  # noqa: F401  (imported first, so that no import is timed)
    import avbook.data.llp  # noqa: F401

    idle = peak_memory_mb()
    started = time.perf_counter()
    split = opened(task, way, Path(folder))
    opening = time.perf_counter() - started
    train, seconds, sums = clips * 8 // 10, [], {}
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(train)
        started = time.perf_counter()
        for start in range(0, train, batch):
            found = split.batch(order[start : start + batch])
        seconds.append(time.perf_counter() - started)
    for name in ("audio", "visual" if task == "ave" else "visual_2d"):
        assert found[name].dtype == torch.float32
        sums[name] = float(found[name].double().mean())
    size = sum(
        part.numel() * 4
        for name, part in found.items()
        if name.startswith(("audio", "visual")) and "labels" not in name
    ) / len(found["audio"])
    return {
        "opening_seconds": opening,
        "seconds": min(seconds),
        "videos_a_second": train / min(seconds),
        "float32_gb_a_second": size * train / min(seconds) / 1e9,
        "peak_memory_mb": peak_memory_mb(),
        "memory_before_mb": idle,
        "last_batch_means": sums,
    }


def main() -> None:
    asked = arguments(__doc__, "loading")
    asked.add_argument("--ave", type=int, default=400, help="clips of AVE")
    asked.add_argument("--llp", type=int, default=400, help="clips of LLP")
    asked.add_argument("--batch", type=int, default=32)
    args = asked.parse_args()
    if args.one:
        return print(json.dumps(measure(**json.loads(args.one))))
    from avbook.data.packs import pack_folder

    apart = Apart(__file__, measure, args.quick)
    sizes = {"ave": 10, "llp": 10} if args.quick else {"ave": args.ave, "llp": args.llp}
    found = {
        "name": "loading",
        "machine": machine("cpu"),
        "clips": sizes,
        "batch": args.batch,
        "growth": {},
        "rows": [],
    }
    makers = {"ave": ave_folder, "llp": llp_folder}
    for task, most in sizes.items():
        for clips in (
            sorted({most // 4, most // 2, most}) if task == "ave" and not args.quick else [most]
        ):
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch)
                makers[task](folder / "files", clips)
                started = time.perf_counter()
                pack_folder(folder / "files", folder / "pack", progress=False)
                packing = time.perf_counter() - started
                disk = {
                    part: (
                        sum(
                            path.stat().st_size
                            for path in (folder / part).rglob("*")
                            if path.is_file()
                        )
                        / 1e6
                    )
                    for part in ("files", "pack")
                }
                ways = WAYS[task] if clips == most else ("all in memory", "pack")
                lines = {
                    way: apart(
                        task=task,
                        way=way,
                        folder=str(folder),
                        clips=clips,
                        batch=args.batch,
                        epochs=3,
                    )
                    for way in ways
                }
            means = [line["last_batch_means"] for line in lines.values()]
            assert all(abs(one[name] - means[0][name]) < 1e-3 for one in means for name in one), (
                f"the variants read different batches: {means}"
            )
            if task == "ave":
                found["growth"][clips] = {
                    way: {
                        "peak_memory_mb": lines[way]["peak_memory_mb"],
                        "seconds": lines[way]["seconds"],
                    }
                    for way in ("all in memory", "pack")
                }
        first = lines[WAYS[task][0]]
        for way, line in lines.items():
            line["times_faster"] = first["seconds"] / line["seconds"]
            print(
                f"{task} {way:16} opened in {line['opening_seconds']:5.2f} s, an epoch of"
                f" {most * 8 // 10} clips {line['seconds']:5.2f} s"
                f" ({line['float32_gb_a_second']:4.1f} GB/s), {line['peak_memory_mb']:5.0f} MB at"
                " most",
                flush=True,
            )
        found[task] = {"lines": lines, "packing_seconds": packing, "megabytes_on_disk": disk}
        for way in ("pack", "pack in memory"):
            found["rows"].append(
                row(
                    f"{task.upper()}: reading an epoch, {way}",
                    WAYS[task][0],
                    lines[way]["seconds"],
                    first["seconds"],
                    peak_memory_mb=lines[way]["peak_memory_mb"],
                    videos_a_second=lines[way]["videos_a_second"],
                )
            )
    write(args.out, found)


if __name__ == "__main__":
    main()
