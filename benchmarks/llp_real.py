"""LLP's own CSVs from end to end: a world that follows all 11,849 clips second by second, checked,
packed, used for training, evaluated by the real test script.

    python benchmarks/llp_real.py --folder DIR [--annotations $AVBOOK_DATA/llp]
        [--size llp|small|tiny] [--epochs 3] [--seeds 5] [--out FILE.json]

Each step is the command that a user would type, timed as it runs: wall-clock seconds, CPU seconds,
and peak memory of its largest process. HAN and MA are trained over --seeds, at the paper's sizes
and at those of the book's tables ("quick"), to show the effects of more clips and of larger
networks; seed 0 at the paper's sizes gives the cost. `small` and `tiny` take an even share of the
clips. A step whose result exists in DIR is not repeated and keeps the times stored there."""

import json
import os
import shutil
import sys
from pathlib import Path

from measure import ROOT, arguments, machine, row, timed_command, write

NETS = ("han", "ma")


def look(folder: Path, annotations: Path) -> dict:
    """Opens the folder as a method does, and compares its labels with those of the real CSVs, clip
    by clip."""
    import time

    import numpy as np

    from avbook.data.annotations import read_spans, read_videos
    from avbook.data.labels import dense_labels, video_labels
    from avbook.data.llp import LLP
    from avbook.data.spec import LLP_SPEC
    from avbook.metrics.llp import llp_scores

    started = time.perf_counter()
    data = LLP(folder)
    opened = time.perf_counter() - started
    found = {
        "opening_seconds": opened,
        "hash": data.hash,
        "clips": {name: len(split) for name, split in data.splits.items()},
        "shapes": {name: list(rows.shape) for name, rows in data.stores.items()},
        "agrees": {},
    }
    for name, split in data.splits.items():
        videos = read_videos(annotations / LLP_SPEC.split_files[name])
        clips, weak = [video.name for video in videos], video_labels(videos)
        place = {clip[:11]: row for row, clip in enumerate(clips)}
        rows = [place[one] for one in split.ids]
        found["agrees"][f"{name}_video_labels"] = bool((split.video_labels == weak[rows]).all())
        if name != "train":
            for modality, file in LLP_SPEC.span_files.items():
                real = dense_labels(read_spans(annotations / file), clips)[rows]
                found["agrees"][f"{name}_{modality}_labels"] = bool(
                    (getattr(split, f"{modality}_labels") == real).all()
                )
    nothing = np.zeros_like(data.test.audio_labels)
    found["nothing_predicted"] = llp_scores(
        nothing, nothing, data.test.audio_labels, data.test.visual_labels
    )
    order = np.random.default_rng(0).permutation(len(data.train))
    started = time.perf_counter()
    for start in range(0, len(order), 16):
        data.train.batch(order[start : start + 16])
    found["reading_an_epoch_seconds"] = time.perf_counter() - started
    return found


def steps_of(
    folder: Path, annotations: Path, size: str, epochs: int, seeds: int
) -> list[tuple[str, list[str], Path]]:
    """(name, command, result file) of each step."""
    avbook, here = (
        [sys.executable, "-m", "avbook"],
        [
            sys.executable,
            str(Path(__file__).resolve()),
            "--one",
        ],
    )
    files, pack, runs = folder / "llp", folder / "llp.pack", folder / "runs"
    steps = [
        (
            "world",
            [
                *avbook,
                "world",
                str(files),
                "--like",
                "llp",
                "--size",
                size,
                "--annotations",
                str(annotations),
            ],
            files / "world.json",
        ),
        ("check", [*avbook, "data", "check", str(files)], folder / "check.log"),
        ("pack", [*avbook, "data", "pack", str(files), str(pack)], pack / "pack.json"),
        ("check the pack", [*avbook, "data", "check", str(pack)], folder / "check the pack.log"),
    ]
    for name, where in (("open", files), ("open the pack", pack)):
        steps.append(
            (
                name,
                [*here, json.dumps({"folder": str(where), "annotations": str(annotations)})],
                folder / f"{name}.log",
            )
        )
    for name, preset, more in (
        ("", "paper", ["--seed", "0"]),
        (", paper, all seeds", "paper", ["--seeds", str(seeds)]),
        (", quick, all seeds", "quick", ["--seeds", str(seeds)]),
    ):
        for net in NETS:
            command = [
                *avbook,
                "run",
                net,
                "--data",
                str(pack),
                "--preset",
                preset,
                "--epochs",
                str(epochs),
                *more,
                "--device",
                "cpu",
                "--out",
                str(runs / preset),
            ]
            steps.append((net + name, command, runs / preset / net))
    return steps


def scores_of(runs: Path, net: str, seed: int) -> dict:
    """The scores of the real test script and the cost, from a run's record."""
    path = sorted((runs / net).glob(f"*/seed-{seed}.json"))[-1]
    record = json.loads(path.read_text(encoding="utf-8"))
    found = {name: record[name] for name in ("seconds", "peak_memory_mb") if name in record}
    return found | {"test": record["metrics"]["test"], "stages": record.get("stages")}


def main() -> None:
    asked = arguments(__doc__, "llp_real", device=False)
    asked.add_argument("--folder", type=Path, help="working folder; about 1.2 GB for size llp")
    data = os.environ.get("AVBOOK_DATA")
    asked.add_argument("--annotations", type=Path, default=Path(data) / "llp" if data else None)
    asked.add_argument("--size", default="llp", choices=("llp", "small", "tiny"))
    asked.add_argument("--epochs", type=int, default=3)
    asked.add_argument("--seeds", type=int, default=5, help="seeds per network")
    args = asked.parse_args()
    if args.one:
        task = json.loads(args.one)
        return print(json.dumps(look(Path(task["folder"]), Path(task["annotations"]))))
    if args.folder is None or args.annotations is None:
        asked.error("--folder DIR is needed, and --annotations DIR if AVBOOK_DATA is not set")
    size, epochs, seeds = ("tiny", 1, 1) if args.quick else (args.size, args.epochs, args.seeds)
    args.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(args.folder).free
    found = {
        "name": "llp_real",
        "machine": machine(),
        "size": size,
        "epochs": epochs,
        "seeds": seeds,
        "free_gb_before": free / 1e9,
        "steps": {},
    }
    noted = args.folder / "steps.json"
    if noted.exists():
        found["steps"] = json.loads(noted.read_text(encoding="utf-8"))
    for name, command, done in steps_of(
        args.folder, args.annotations.resolve(), size, epochs, seeds
    ):
        if name not in found["steps"] or not done.exists():
            log = args.folder / f"{name}.log"
            said = (
                "python -m " + " ".join(command[2:])
                if command[1] == "-m"
                else f"llp_real.py --one … ({name})"
            )
            line = timed_command(command, log, {"PYTHONPATH": str(ROOT)})
            found["steps"][name] = {
                "command": (
                    said.replace(str(args.folder), "DIR").replace(
                        str(args.annotations.resolve()), "ANNOTATIONS"
                    )
                ),
                **line,
            }
            if name.startswith("open"):
                found["steps"][name] |= json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
            if name.startswith("check"):
                found["steps"][name]["said"] = (
                    log.read_text(encoding="utf-8").replace(str(args.folder), "DIR").splitlines()
                )
            noted.write_text(json.dumps(found["steps"], indent=1), encoding="utf-8")
        line = found["steps"][name]
        print(
            f"{name:16} {line['seconds']:8.1f} s on the clock, {line['cpu_seconds']:8.1f} s of"
            f" processors, {line['peak_memory_mb']:6.0f} MB",
            flush=True,
        )
    one, other = found["steps"]["open"], found["steps"]["open the pack"]
    assert all({**one["agrees"], **other["agrees"]}.values()), (
        f"labels differ from the real CSVs: {one['agrees']}, {other['agrees']}"
    )
    assert one["hash"] == other["hash"], "the pack's contents are not the folder's"
    found["disk_mb"] = {
        part: (
            sum(path.stat().st_size for path in (args.folder / part).rglob("*") if path.is_file())
            / 1e6
        )
        for part in ("llp", "llp.pack")
    }
    found["scores"] = {
        preset: {
            net: [scores_of(args.folder / "runs" / preset, net, seed) for seed in range(seeds)]
            for net in NETS
        }
        for preset in ("paper", "quick")
    }
    for preset, nets in found["scores"].items():
        for net, lines in nets.items():
            scores = ", ".join(f"{line['test']['last']['segment_type']:.1f}" for line in lines)
            print(
                f"{net}, {preset}: test segment_type {scores} (nothing predicted:"
                f" {one['nothing_predicted']['segment_type']:.1f})"
            )
    clips, found["steps"] = (
        sum(one["clips"].values()),
        {name: line for name, line in found["steps"].items() if "seeds" not in name},
    )  # these are run for their scores
    found["rows"] = [
        row(
            f"LLP's CSVs, {clips:,} clips: {name} (processor time)",
            "",
            line["cpu_seconds"],
            None,
            peak_memory_mb=line["peak_memory_mb"],
        )
        for name, line in found["steps"].items()
    ]
    write(args.out, found)


if __name__ == "__main__":
    main()
