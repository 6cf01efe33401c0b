"""A training step of HAN and of MA at the official sizes: videos per second, and the gain of each
ingredient.

    python benchmarks/han_step.py [--batch 16] [--steps 5] [--rounds 8] [--out FILE.json]

Audio 10×128, visual 80×2048 and 10×512, d = 512, 25 categories. The first line is a straightforward
implementation: three .npy files per clip, one by one; all 80 frames through their layer; PyTorch's
own attention, each modality by itself. It computes the same function as ours with the same weights,
which is asserted. Each further line adds one ingredient to all before it. The lines take turns in
one process, round after round, together with the matrix-multiply peak: a line's time is the median
step of its fastest round. A step is: read a batch, forward, loss, backward, update. The features
are made up; files are in the page cache, so there is no waiting for a disk."""

import contextlib
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
from made_up import LLP_SHAPES, llp_folder
from measure import (
    Apart,
    Way,
    arguments,
    flops_of,
    machine,
    peak_gflops,
    peak_memory_mb,
    row,
    take_turns,
    write,
)

CATEGORIES, WIDTH = 25, 512
STEPS = {  # each includes all before it
    "straightforward": {"net": "plain", "read": "files"},
    "both modalities in one pass, own attention": {"net": "after"},
    "frames averaged before their layer": {"net": "before"},
    "a pack on disk instead of files": {"read": "pack"},
    "the pack in memory, one gather": {"read": "held"},
    "fused Adam": {"fused": True},
    "freed memory kept": {"keep_memory": True},
    "bfloat16 autocast": {"bf16": True},
}
SHORT = ("straightforward", "freed memory kept", "bfloat16 autocast")  # lines of MA


def options_of(name: str) -> dict:
    """The options of that line: its own and those of all lines before it."""
    found: dict = {}
    for step, options in STEPS.items():
        found |= options
        if step == name:
            return found
    raise KeyError(name)


def plain_net(kind: str):
    """HAN or MA written in a straightforward way: `nn.MultiheadAttention`, one modality after the
    other, all 80 frames through their layer."""
    import torch
    from torch import nn

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc_a, self.fc_v, self.fc_st, self.fc_fusion = (
                nn.Linear(128, WIDTH),
                nn.Linear(2048, WIDTH),
                nn.Linear(512, WIDTH),
                nn.Linear(1024, WIDTH),
            )
            self.self_attn, self.cm_attn = (
                nn.MultiheadAttention(WIDTH, 1, dropout=0.1, batch_first=True) for _ in range(2)
            )
            self.linear1, self.linear2, self.inner = (
                nn.Linear(WIDTH, 512),
                nn.Linear(512, WIDTH),
                nn.Dropout(0.1),
            )
            self.norm1, self.norm2, self.dropout = (
                nn.LayerNorm(WIDTH),
                nn.LayerNorm(WIDTH),
                nn.Dropout(0.1),
            )
            self.fc_prob, self.fc_frame, self.fc_av = (
                nn.Linear(WIDTH, CATEGORIES) for _ in range(3)
            )

        def hybrid(self, x, other):
            x = self.norm1(
                x
                + self.dropout(self.self_attn(x, x, x)[0])
                + self.dropout(self.cm_attn(x, other, other)[0])
            )
            return self.norm2(
                x + self.dropout(self.linear2(self.inner(torch.relu(self.linear1(x)))))
            )

        def forward(self, batch):
            f_a = self.fc_a(batch["audio"])
            frames = self.fc_v(batch["visual_2d"])
            still = frames.reshape(len(frames), 10, 8, WIDTH).mean(2)
            f_v = self.fc_fusion(torch.cat([still, self.fc_st(batch["visual_3d"])], -1))
            hat_a, hat_v = self.hybrid(f_a, f_v), self.hybrid(f_v, f_a)
            x = torch.stack([hat_a, hat_v], 2)
            prob = torch.sigmoid(self.fc_prob(x))
            frame, modality = torch.softmax(self.fc_frame(x), 1), torch.softmax(self.fc_av(x), 2)
            both = frame * prob
            out = {
                "segment_audio": prob[:, :, 0],
                "segment_visual": prob[:, :, 1],
                "video_audio": both[:, :, 0].sum(1),
                "video_visual": both[:, :, 1].sum(1),
                "video": (modality * both).sum((1, 2)),
            }
            if kind == "ma":
                unit = lambda one: one / one.norm(dim=-1, keepdim=True)  # noqa: E731
                out["contrast"] = unit(hat_a) @ unit(f_v).transpose(1, 2)
            return out

        def take(self, ours):
            """Copies the weights of our own net."""
            here = {
                "fc_a": "projection.audio",
                "fc_v": "projection.visual_2d",
                "fc_st": "projection.visual_3d",
                "fc_fusion": "projection.visual",
                "self_attn.out_proj": "attention.own.out",
                "cm_attn.out_proj": "attention.cross.out",
                "linear1": "attention.feed.0",
                "linear2": "attention.feed.3",
                "norm1": "attention.first",
                "norm2": "attention.second",
                "fc_prob": "head.classifier",
                "fc_frame": "head.pooling.frame",
                "fc_av": "head.pooling.modality",
            }
            theirs, state = ours.state_dict(), {}
            for mine, its in here.items():
                state |= {f"{mine}.{part}": theirs[f"{its}.{part}"] for part in ("weight", "bias")}
            for mine, its in (("self_attn", "own"), ("cm_attn", "cross")):
                state |= {
                    f"{mine}.in_proj_{part}": theirs[f"attention.{its}.qkv.{part}"]
                    for part in ("weight", "bias")
                }
            self.load_state_dict(state)
            return self

    return Plain()


def build(kind: str, net: str = "before"):
    """(network, method) of HAN or MA at the official sizes, from one seed."""
    from avbook.experiments.recipes import find_recipe
    from avbook.training.device import seed_everything

    recipe = find_recipe(kind)
    settings = recipe.preset("paper") | {"average": "after" if net == "plain" else net}
    dims = {"categories": CATEGORIES, "audio_dim": 128, "visual_2d_dim": 2048, "visual_3d_dim": 512}
    seed_everything(0)
    ours, method = recipe.build(settings, dims)
    return (plain_net(kind).take(ours) if net == "plain" else ours), method


def same_function(kind: str, batch) -> float:
    """The largest difference between the outputs of the plain net and of ours; AssertionError if
    they are not the same function."""
    import torch

    with torch.no_grad():
        plain, ours = (build(kind, net)[0].eval()(batch) for net in ("plain", "before"))
    worst = max(float((plain[name] - ours[name]).abs().max()) for name in plain)
    assert worst < 1e-4, f"{kind}: the two nets differ by {worst}"
    return worst


class Files:
    """Clips read in a straightforward way: three .npy files each, stacked to a batch."""

    def __init__(self, folder: Path, split):
        self.folder, self.ids, self.video_labels = (
            folder,
            [str(one) for one in split.ids],
            split.video_labels,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, rows):
        import torch

        clips = [
            [
                torch.from_numpy(np.load(self.folder / kind / f"{self.ids[row]}.npy"))
                for kind in LLP_SHAPES
            ]
            for row in rows
        ]
        audio, frames, motion = (torch.stack(part) for part in zip(*clips))
        return {
            "audio": audio,
            "visual_2d": frames,
            "visual_3d": motion,
            "video_labels": torch.stack([torch.from_numpy(self.video_labels[row]) for row in rows]),
        }


def reader(read: str, folder: Path, device: str):
    """The training split, read in that way."""
    from avbook.data.llp import LLP

    if read == "files":
        return Files(folder / "llp", LLP(folder / "llp", cache_mb=0).train)
    data = LLP(folder / "pack", cache_mb=1e5 if read == "held" else 0)
    return (data.to(device) if read == "held" else data).train


def way_of(kind: str, options: dict, folder: Path, batch: int, device: str):
    """(`Way`, floating-point operations of a step) with these options."""
    import torch

    train = reader(options["read"], folder, device)
    net, method = build(kind, options["net"])
    net.to(device).train()
    fused, bf16 = options.get("fused", False), options.get("bf16", False)
    optimizer = torch.optim.Adam(
        net.parameters(),
        lr=3e-4,
        **({"fused": True} if fused else {"foreach": False, "fused": False}),
    )
    order = itertools.cycle(np.random.default_rng(1).permutation(len(train)))

    def step():
        found = {
            name: part.to(device)
            for name, part in train.batch(list(itertools.islice(order, batch))).items()
        }
        with (
            torch.autocast(torch.device(device).type, torch.bfloat16)
            if bf16
            else contextlib.nullcontext()
        ):
            loss, _ = method.loss(net, found)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    flops = flops_of(
        lambda: method.loss(
            net, {name: part.to(device) for name, part in train.batch(range(batch)).items()}
        )[0].backward()
    )
    net.zero_grad()
    return Way(step, options.get("keep_memory", False)), flops


def measure(
    kind: str, names: list[str], folder: str, batch: int, steps: int, rounds: int, device: str
) -> dict:
    """The time of each line, in turns, and the difference between the plain net's outputs and
    ours."""
    folder, ways, flops = Path(folder), {}, {}
    for name in names:
        ways[name], flops[name] = way_of(kind, options_of(name), folder, batch, device)
    readers = {read: reader(read, folder, device) for read in ("files", "pack", "held")}
    order = itertools.cycle(np.random.default_rng(1).permutation(len(readers["held"])))
    readings = {
        read: Way(lambda one=one: one.batch(list(itertools.islice(order, batch))))
        for read, one in readers.items()
    }
    peaks = []
    for _ in range(rounds):
        peaks.append(
            {dtype: peak_gflops(dtype, device, seconds=0.3) for dtype in ("float32", "bfloat16")}
        )
        lines, reading = take_turns(ways, 1, steps, device), take_turns(readings, 1, steps, device)
    peak = {dtype: max(one[dtype] for one in peaks) for dtype in peaks[0]}
    for name, line in lines.items():
        gflops, own = (
            flops[name] / line["seconds"] / 1e9,
            ("bfloat16" if options_of(name).get("bf16") else "float32"),
        )
        line |= {
            "videos_a_second": batch / line["seconds"],
            "reading": reading[options_of(name)["read"]]["seconds"],
            "gflop_a_step": flops[name] / 1e9,
            "gflops": gflops,
            "share_of_peak": gflops / peak[own],
            "times_faster": lines[names[0]]["seconds"] / line["seconds"],
        }
    return {
        "lines": lines,
        "peak_gflops": peak,
        "peaks": peaks,
        "process_peak_memory_mb": peak_memory_mb(device),
        "plain_differs_by": same_function(kind, readers["files"].batch(range(batch))),
    }


def main() -> None:
    asked = arguments(__doc__, "han_step")
    asked.add_argument("--batch", type=int, default=16)
    asked.add_argument("--steps", type=int, default=5)
    asked.add_argument("--rounds", type=int, default=8)
    asked.add_argument("--clips", type=int, default=320)
    args = asked.parse_args()
    if args.one:
        return print(json.dumps(measure(**json.loads(args.one))))
    apart = Apart(__file__, measure, args.quick)
    batch, steps, rounds, clips = (
        (2, 1, 1, 10) if args.quick else (args.batch, args.steps, args.rounds, args.clips)
    )
    found = {
        "name": "han_step",
        "machine": machine(args.device),
        "batch": batch,
        "timed_steps": steps,
        "clips": clips,
        "rows": [],
    }
    with tempfile.TemporaryDirectory() as scratch:
        from avbook.data.packs import pack_folder

        folder = llp_folder(Path(scratch) / "llp", clips).parent
        pack_folder(folder / "llp", folder / "pack", progress=False)
        for kind, names in (("han", [*STEPS]), ("ma", [*SHORT])):
            task = {
                "kind": kind,
                "names": names,
                "folder": str(folder),
                "batch": batch,
                "steps": steps,
                "rounds": rounds,
                "device": args.device,
            }
            found[kind] = apart(**task)
            lines = found[kind]["lines"]
            for name, line in lines.items():
                print(
                    f"{kind:3} {name:40} {1000 * line['seconds']:7.1f} ms a step"
                    f" ({1000 * line['reading']:5.1f} of them reading),"
                    f" {line['videos_a_second']:6.0f} videos/s, {100 * line['share_of_peak']:3.0f}"
                    f" % of the peak, {line['step_memory_mb']:4.0f} MB,"
                    f" ×{line['times_faster']:.2f}",
                    flush=True,
                )
            for name, precision in (
                ("freed memory kept", "float32"),
                ("bfloat16 autocast", "bfloat16"),
            ):
                line = lines[name]
                found["rows"].append(
                    row(
                        f"{kind.upper()}: training step, {precision}",
                        "files one by one, 80 frames projected, each modality by itself",
                        line["seconds"],
                        lines["straightforward"]["seconds"],
                        share_of_peak=line["share_of_peak"],
                        step_memory_mb=line["step_memory_mb"],
                        videos_a_second=line["videos_a_second"],
                    )
                )
    write(args.out, found)


if __name__ == "__main__":
    main()
