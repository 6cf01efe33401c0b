"""Seconds to refine the labels of 10,000 training videos and to evaluate 1,200 test videos, at the
official sizes, against one video at a time.

    python benchmarks/refinement.py [--videos 10000] [--test 1200] [--sample 200] [--out FILE.json]

`refine` sends each modality through its own part of the net once and then combines the streams; the
loop, a straightforward implementation, builds each exchanged video and sends all of it through the
net, one by one. The loop runs on a sample and its time is extrapolated: the record states from how
many. Both must give the same probabilities and keep the same labels on the sample, which is
asserted; labels whose quotient lies within 1e-4 of the threshold may go either way and are counted.
Both take turns, twice, and the faster turn counts. Features are made up: 512 clips, repeated, held
as float16. Each number of videos runs in its own process."""

import json
import time

import numpy as np
from han_step import CATEGORIES, build
from made_up import llp_labels
from measure import (
    Apart,
    arguments,
    flops_of,
    machine,
    peak_gflops,
    peak_memory_mb,
    row,
    seconds_of,
    write,
)
from metrics import loop_scores

DISTINCT = 512


class Clips:
    """n videos at the official sizes, with features that repeat after DISTINCT videos; random
    labels per second."""

    def __init__(self, n: int):
        rng, distinct = np.random.default_rng(0), min(n, DISTINCT)
        shapes = {"audio": (10, 128), "visual_2d": (80, 2048), "visual_3d": (10, 512)}
        self.parts = {
            name: rng.standard_normal((distinct, *shape), np.float32).astype(np.float16)
            for name, shape in shapes.items()
        }
        self.video_labels, self.ids = llp_labels(n), np.array([f"clip{i:07d}" for i in range(n)])
        spans = rng.random((2, n, 10, CATEGORIES)) < 0.7
        self.audio_labels, self.visual_labels = (self.video_labels[:, None] * spans).astype(
            np.float32
        )

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, rows):
        import torch

        rows = np.asarray(rows)
        found = {
            name: torch.from_numpy(part[rows % len(part)]).float()
            for name, part in self.parts.items()
        }
        return found | {"video_labels": torch.from_numpy(self.video_labels[rows])}


def decided(device: str):
    """MA with probabilities spread over 0 to 1, like those of a trained net, so that some labels
    are dropped and some stay."""
    import torch

    net, method = build("ma")
    with torch.no_grad():
        net.head.classifier.weight.mul_(8)
    return net.to(device).eval(), method


def refine_singly(net, clips: Clips, partners, errors, rows, device: str) -> dict:
    """The probabilities after the exchange for some videos and the kept labels, one video at a time
    and class by class."""
    import torch

    found = {
        name: np.zeros((len(rows), CATEGORIES)) for name in ("p_a_a", "p_a_v", "p_v_a", "p_v_v")
    }
    kept = {modality: np.zeros((len(rows), CATEGORIES), bool) for modality in ("audio", "visual")}
    with torch.no_grad():
        for at, i in enumerate(rows):
            own, other = (
                {name: part.to(device) for name, part in clips.batch([one]).items()}
                for one in (i, int(partners[i, 0]))
            )
            net(own)  # before the exchange: the basis of the errors E_c
            for changed, video in (
                ("a", own | {"audio": other["audio"]}),
                ("v", other | {"audio": own["audio"]}),
            ):
                out = net(video)
                for branch, name in (("a", "video_audio"), ("v", "video_visual")):
                    found[f"p_{changed}_{branch}"][at] = out[name][0].float().cpu().numpy()
            for c in range(CATEGORIES):
                if clips.video_labels[i, c]:
                    for modality, changed in (("visual", "a"), ("audio", "v")):
                        quotients = [
                            (
                                found[f"p_{changed}_{branch}"][at, c] / errors[modality][c]
                                if errors[modality][c]
                                else np.inf
                            )
                            for branch in "av"
                        ]
                        kept[modality][at, c] = not (quotients[0] < 0.5 and quotients[1] < 0.5)
    return {"probabilities": found, "kept": kept}


def refinement_of(n: int, sample: int, device: str) -> dict:
    """Seconds of `refine` over n videos; with a sample, also of the loop over that many, and the
    agreement of both."""
    from avbook.parsing.refinement import refine

    clips, (net, _) = Clips(n), decided(device)
    refine(net, small := Clips(64), range(CATEGORIES))  # the first call includes one-time costs
    flops = flops_of(lambda: refine(net, small, range(CATEGORIES))) * n / len(small)
    box, rounds = [], []
    rounds.append(seconds_of(lambda: box.append(refine(net, clips, range(CATEGORIES))), device))
    memory, peak, rows, singly, loops = (
        peak_memory_mb(device),
        peak_gflops(device=device),
        np.linspace(0, n, max(sample, 1), endpoint=False).astype(int),
        [],
        [],
    )
    if sample:
        refine_singly(net, clips, box[0].partners, box[0].errors, rows[:8], device)
        loop = lambda: singly.append(
            refine_singly(net, clips, box[0].partners, box[0].errors, rows, device)
        )
        loops.append(seconds_of(loop, device))
        rounds.append(seconds_of(lambda: refine(net, clips, range(CATEGORIES)), device))
        loops.append(seconds_of(loop, device))
        peak = max(peak, peak_gflops(device=device))
    seconds = min(rounds)
    found = {
        "videos": n,
        "seconds": seconds,
        "rounds": rounds,
        "gflops": flops / seconds / 1e9,
        "peak_gflops": peak,
        "share_of_peak": flops / seconds / 1e9 / peak,
        "dropped": {
            modality: int((box[0].labels & ~getattr(box[0], modality)).sum())
            for modality in ("audio", "visual")
        },
        "labels": int(box[0].labels.sum()),
    }
    found["peak_memory_mb"] = memory
    if not sample:
        return found
    found |= {"sample_seconds": min(loops), "sample_rounds": loops}
    worst = max(
        float(np.abs(values - box[0].probabilities[name][rows]).max())
        for name, values in singly[0]["probabilities"].items()
    )
    assert worst < 1e-4, f"batched and one-at-a-time probabilities differ by {worst}"
    narrow = 0
    for modality, changed in (("visual", "a"), ("audio", "v")):
        errors = box[0].errors[modality]
        with np.errstate(divide="ignore"):
            edge = np.any(
                [
                    np.abs(box[0].probabilities[f"p_{changed}_{branch}"][rows] / errors - 0.5)
                    < 1e-4
                    for branch in "av"
                ],
                axis=0,
            )
        same = singly[0]["kept"][modality] == getattr(box[0], modality)[rows]
        assert (same | edge).all(), (
            f"{int((~same & ~edge).sum())} {modality} labels are kept by one, dropped by the other"
        )
        narrow += int((edge & (clips.video_labels[rows] > 0)).sum())
    return found | {
        "sample": sample,
        "loop_seconds": found["sample_seconds"] * n / sample,
        "disagreement": worst,
        "labels_at_the_threshold": narrow,
        "times_faster": found["sample_seconds"] * n / sample / seconds,
    }


def evaluation_of(n: int, sample: int, device: str) -> dict:
    """Seconds to predict n test videos and score them, batched; and one at a time on a sample, with
    equal predictions and scores asserted."""
    import torch

    from avbook.metrics.llp import llp_scores
    from avbook.training.loop import evaluate

    clips, (net, method) = Clips(n), decided(device)
    evaluate(net, method, Clips(64), 128, device)
    box, rounds, loops = [], [], []
    rounds.append(seconds_of(lambda: box.append(evaluate(net, method, clips, 128, device)), device))
    memory = peak_memory_mb(device)
    predicted = {name: part.numpy() for name, part in box[0][1].items()}
    started = time.perf_counter()
    llp_scores(predicted["audio"], predicted["visual"], clips.audio_labels, clips.visual_labels)
    scoring = time.perf_counter() - started

    def singly(rows):
        calls = {"audio": [], "visual": []}
        with torch.no_grad():
            for i in rows:
                out = net({name: part.to(device) for name, part in clips.batch([i]).items()})
                for name in calls:
                    clip = (out[f"video_{name}"][0] >= 0.5).cpu().numpy()
                    calls[name].append((out[f"segment_{name}"][0] >= 0.5).cpu().numpy() & clip)
        calls = {name: np.stack(part) for name, part in calls.items()}
        return calls, loop_scores(
            calls["audio"], calls["visual"], clips.audio_labels[rows], clips.visual_labels[rows]
        )

    rows = np.linspace(0, n, sample, endpoint=False).astype(int)
    singly(rows[:8])
    one = []
    for _ in range(2):
        loops.append(seconds_of(lambda: one.append(singly(rows)), device))
        rounds.append(seconds_of(lambda: evaluate(net, method, clips, 128, device), device))
    seconds, sample_seconds = min(rounds), min(loops)
    calls, scores = one[0]
    differ = sum(int((calls[name] != predicted[name][rows]).sum()) for name in calls)
    assert differ <= calls["audio"].size // 10000, (
        f"{differ} predicted seconds differ"
    )  # a probability at the threshold may go either way
    again = llp_scores(
        calls["audio"], calls["visual"], clips.audio_labels[rows], clips.visual_labels[rows]
    )
    worst = max(abs(scores[name] - again[name]) for name in again)
    assert worst < 1e-9, f"the scores differ by {worst}"
    return {
        "videos": n,
        "seconds": seconds,
        "scoring_seconds": scoring,
        "sample": sample,
        "sample_seconds": sample_seconds,
        "loop_seconds": sample_seconds * n / sample,
        "times_faster": sample_seconds * n / sample / seconds,
        "seconds_predicted_otherwise": differ,
        "disagreement_of_scores": worst,
        "rounds": rounds,
        "sample_rounds": loops,
        "peak_memory_mb": memory,
    }


def measure(kind: str, **task) -> dict:
    """The measurements of one kind, "refinement" or "evaluation"."""
    return {"refinement": refinement_of, "evaluation": evaluation_of}[kind](**task)


def main() -> None:
    asked = arguments(__doc__, "refinement")
    asked.add_argument("--videos", type=int, default=10000)
    asked.add_argument("--test", type=int, default=1200)
    asked.add_argument("--sample", type=int, default=200, help="videos of the one-at-a-time loops")
    args = asked.parse_args()
    if args.one:
        return print(json.dumps(measure(**json.loads(args.one))))
    apart = Apart(__file__, measure, args.quick)
    n, test, sample = (96, 48, 12) if args.quick else (args.videos, args.test, args.sample)
    found = {"name": "refinement", "machine": machine(args.device), "growth": {}}
    for count in sorted({n // 8, n // 4, n // 2}):
        line = found["growth"][count] = apart(
            kind="refinement", n=count, sample=0, device=args.device
        )
        print(
            f"refinement of {count} videos: {line['seconds']:.1f} s,"
            f" {line['peak_memory_mb']:.0f} MB",
            flush=True,
        )
    line = found["refinement"] = apart(
        kind="refinement", n=n, sample=min(sample, n), device=args.device
    )
    found["growth"][n] = {
        name: line[name] for name in ("seconds", "peak_memory_mb", "share_of_peak")
    }
    print(
        f"refinement of {n} videos: {line['seconds']:.1f} s, {100 * line['share_of_peak']:.0f} % of"
        f" the peak, {line['peak_memory_mb']:.0f} MB; one at a time {line['loop_seconds']:.0f} s"
        f" (from {line['sample']} videos), ×{line['times_faster']:.1f}; they differ by"
        f" {line['disagreement']:.0e}",
        flush=True,
    )
    other = found["evaluation"] = apart(
        kind="evaluation", n=test, sample=min(sample, test), device=args.device
    )
    print(
        f"evaluation of {test} videos: {other['seconds']:.2f} s"
        f" ({1000 * other['scoring_seconds']:.0f} ms of it the ten scores); one at a time"
        f" {other['loop_seconds']:.1f} s (from {other['sample']} videos),"
        f" ×{other['times_faster']:.1f}"
    )
    found["rows"] = [
        row(
            f"refinement of {n:,} videos",
            f"each exchanged video by itself (from {line['sample']})",
            line["seconds"],
            line["loop_seconds"],
            share_of_peak=line["share_of_peak"],
            peak_memory_mb=line["peak_memory_mb"],
            videos_a_second=n / line["seconds"],
        ),
        row(
            f"evaluation of {test:,} videos",
            f"each video by itself (from {other['sample']})",
            other["seconds"],
            other["loop_seconds"],
            peak_memory_mb=other["peak_memory_mb"],
            videos_a_second=test / other["seconds"],
        ),
    ]
    write(args.out, found)


if __name__ == "__main__":
    main()
