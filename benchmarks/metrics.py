"""Time of the ten LLP scores for the 1,200 test videos: real ground truth, random predictions,
against a loop over videos.

    python benchmarks/metrics.py [--out FILE.json] [--repeat 30]

The ground truth is read from $AVBOOK_DATA/llp; without it the world's scripts are used, and the
output says so. The loop below is a straightforward implementation: for each video and class, count
segments, collect events, compare every pair."""

import csv
import os
import time
from pathlib import Path

import numpy as np
from measure import arguments, machine, row, write

from avbook.data.events import LLP_CATEGORIES, Event, llp_labels
from avbook.metrics.llp import llp_scores


def real_truth(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(audio, visual) labels (1200, 10, 25) of LLP's test split, from its CSVs."""

    def rows(name):
        with open(folder / name, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file, delimiter="\t"))

    index = {row["filename"]: i for i, row in enumerate(rows("AVVP_test_pd.csv"))}
    truth = []
    for side in ("audio", "visual"):
        events = [[] for _ in index]
        for span in rows(f"AVVP_eval_{side}.csv"):
            onset, offset = int(float(span["onset"])), int(float(span["offset"]))
            if span["filename"] in index and onset < offset:
                events[index[span["filename"]]].append(Event(span["event_labels"], onset, offset))
        truth.append(np.stack([llp_labels(found, LLP_CATEGORIES) for found in events]))
    return truth[0], truth[1]


def world_truth() -> tuple[np.ndarray, np.ndarray]:
    """(audio, visual) labels (1200, 10, 25) of sampled scripts."""
    from avbook.world.clips import llp_truth, sample_scripts

    audio, visual = llp_truth(sample_scripts("llp", 1200, seed=0))
    return audio, visual


def events(mask) -> list[tuple[int, int]]:
    found, start = [], None
    for t, value in enumerate([*mask, 0]):
        if value and start is None:
            start = t
        elif not value and start is not None:
            found.append((start, t))
            start = None
    return found


def close(one, other) -> bool:
    overlap = min(one[1], other[1]) - max(one[0], other[0])
    return overlap > 0 and overlap / (max(one[1], other[1]) - min(one[0], other[0])) >= 0.5


def counts(level: str, predicted, true) -> np.ndarray:
    """(C, 3): TP, FN, FP of each class of one video, (C, T) each."""
    table = np.zeros((len(true), 3))
    for c, (p, t) in enumerate(zip(predicted, true)):
        if level == "segment":
            table[c] = (p * t).sum(), ((1 - p) * t).sum(), (p * (1 - t)).sum()
        else:
            called, real = events(p), events(t)
            hits = sum(any(close(one, other) for other in real) for one in called)
            table[c] = (
                hits,
                sum(not any(close(one, other) for one in called) for other in real),
                len(called) - hits,
            )
    return table


def f_score(table: np.ndarray) -> float:
    values = [2 * tp / (2 * tp + fn + fp) for tp, fn, fp in table if tp + fn + fp]
    return float(np.mean(values)) if values else 1.0


def loop_scores(pred_audio, pred_visual, true_audio, true_visual) -> dict[str, float]:
    """The ten scores with a loop over videos and classes, (N, T, C) each."""
    sums: dict[str, float] = {}
    for video in zip(pred_audio, pred_visual, true_audio, true_visual):
        pa, pv, ta, tv = (side.T.astype(int) for side in video)
        for level in ("segment", "event"):
            audio, visual, both = (
                counts(level, pa, ta),
                counts(level, pv, tv),
                counts(level, pa * pv, ta * tv),
            )
            f = {
                "audio": f_score(audio),
                "visual": f_score(visual),
                "av": f_score(both),
                "event": f_score(audio + visual),
            }
            f["type"] = (f["audio"] + f["visual"] + f["av"]) / 3
            for name, value in f.items():
                sums[f"{level}_{name}"] = sums.get(f"{level}_{name}", 0.0) + 100 * value / len(
                    pred_audio
                )
    return sums


def milliseconds(function, repeat: int) -> float:
    """The shortest of `repeat` timings, which other programs disturbed least."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - start))
    return min(times)


def main() -> None:
    asked = arguments(__doc__, "metrics", device=False)
    asked.add_argument("--repeat", type=int, default=30)
    asked.add_argument("--videos", type=int, default=1200)
    args = asked.parse_args()
    videos, repeat = (20, 1) if args.quick else (args.videos, args.repeat)
    data = os.environ.get("AVBOOK_DATA")
    audio, visual = (
        part[:videos] for part in (real_truth(Path(data) / "llp") if data else world_truth())
    )
    rng = np.random.default_rng(0)
    record = {
        "name": "metrics",
        "machine": machine(),
        "data": "official annotations, test split" if data else "world scripts",
        "videos": len(audio),
    }
    for share in (0.5, 0.05):  # a coin flip per segment; and as sparse as real predictions
        predicted = [rng.random(audio.shape) < share for _ in range(2)]
        fast = milliseconds(lambda: llp_scores(*predicted, audio, visual), repeat)
        slow_scores = loop_scores(*predicted, audio, visual)
        slow = milliseconds(lambda: loop_scores(*predicted, audio, visual), 2)
        worst = max(
            abs(value - slow_scores[name])
            for name, value in llp_scores(*predicted, audio, visual).items()
        )
        assert worst < 1e-9, f"the two disagree by {worst}"
        record[f"positive_{share}"] = {
            "milliseconds": round(fast, 2),
            "loop_milliseconds": round(slow, 1),
            "ratio": round(slow / fast, 1),
            "disagreement": worst,
        }
        record["rows"] = [
            row(
                f"ten scores of {len(audio):,} videos",
                "a loop over videos and classes",
                fast / 1000,
                slow / 1000,
            )
        ]
        print(
            f"{len(audio)} videos, {record['data']}, {share:.0%} of segments predicted: {fast:.1f}"
            f" ms; loop {slow:.0f} ms; ratio {slow / fast:.0f}"
        )
    growth = {}
    for times in (1, 2, 4, 8, 16):
        many = [
            np.concatenate([side] * times)
            for side in (
                rng.random(audio.shape) < 0.05,
                rng.random(audio.shape) < 0.05,
                audio,
                visual,
            )
        ]
        growth[len(many[0])] = round(
            milliseconds(lambda: llp_scores(*many), max(5, repeat // times)), 2
        )
    record["growth_milliseconds"] = growth
    print(
        "growth: " + ", ".join(f"{count} videos {value:.1f} ms" for count, value in growth.items())
    )
    write(args.out, record)


if __name__ == "__main__":
    main()
