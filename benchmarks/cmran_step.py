"""A training step of CMRAN at the official sizes: the released code's arithmetic in float64 and in
float32, and ours.

    python benchmarks/cmran_step.py [--batch 32] [--steps 3] [--rounds 4] [--out FILE.json]

Audio 10×128, visual 10×7×7×512, 28 categories, every second labelled. The released training
converts its network to float64, since the published features are stored so. "Released" is our
network with the arithmetic of the released attention: the products of audio and visual features as
maps of 512 and of 256 channels, time before clips in the relations, clips read one by one, Adam
tensor by tensor. The four variants give the same first loss from the same weights (asserted, within
rounding) and take turns in one process, round after round; a time is the median step of the fastest
round. A step is: read a batch, forward, loss, backward, clipping, update."""

import itertools
from types import MethodType

import numpy as np
from measure import (
    Way,
    arguments,
    flops_of,
    machine,
    peak_gflops,
    row,
    take_turns,
    write,
)
from steps import CATEGORIES, OneByOne, split_of

WAYS = {  # name -> (as released, dtype)
    "released, float64": (True, "float64"),
    "released, float32": (True, "float32"),
    "ours, float64": (False, "float64"),
    "ours": (False, "float32"),
}


def attend_with_maps(self, audio, visual):
    """`SpatialChannelAttention.forward` with both products of audio and visual features as whole
    maps."""
    import torch

    *lead, height, width, dim = visual.shape
    pixels = visual.reshape(*lead, height * width, dim)
    sound = torch.relu(self.channel_audio(audio)).unsqueeze(-2)
    asked = (sound * torch.relu(self.channel_visual(pixels))).mean(-2)
    scale = 1 + torch.sigmoid(self.channel_score(torch.relu(self.bottleneck(asked))))
    pixels = pixels * scale.unsqueeze(-2)
    fits = torch.relu(self.spatial_audio(audio)).unsqueeze(-2) * torch.relu(
        self.spatial_visual(pixels)
    )
    weights = torch.tanh(self.spatial_score(fits)).squeeze(-1).softmax(-1)
    attended = (weights.unsqueeze(-2) @ pixels).squeeze(-2)
    return attended, weights.view(*lead, height, width), scale


def relate_time_first(self, query, memory):
    """`nn.MultiheadAttention` with PyTorch's defaults: time first, weights always averaged."""
    x, m = query.transpose(0, 1).contiguous(), memory.transpose(0, 1).contiguous()
    self.attention.batch_first = False
    found, weights = self.attention(x, m, m)
    x = self.first(x + self.dropout(found))
    x = self.second(x + self.dropout(self.out(self.dropout(self.hidden(x).relu()))))
    return x.transpose(0, 1), weights


def step_way(released: bool, dtype: str, split, size: int, device: str):
    """(`Way`, floating-point operations of a step, loss of the first batch from the initial
    weights)."""
    import torch

    from avbook.experiments.recipes import find_recipe
    from avbook.supervised.cmran import RelationLayer
    from avbook.training.device import seed_everything
    from avbook.training.loop import make_optimizer

    seed_everything(0)
    recipe, kind = find_recipe("cmran-full"), getattr(torch, dtype)
    settings = recipe.preset("paper")
    net, method = recipe.build(
        settings, {"categories": CATEGORIES, "audio_dim": 128, "visual_dim": 512, "positions": 49}
    )
    net.to(device, kind).train()
    optimizer = make_optimizer(net, method, "adam", settings["lr"], 0.0)
    if released:
        net.attention.forward = MethodType(attend_with_maps, net.attention)
        for layer in net.modules():
            if isinstance(layer, RelationLayer):
                layer.forward = MethodType(relate_time_first, layer)
        plain = {"foreach": False, "fused": False}
        optimizer = torch.optim.Adam(net.parameters(), lr=settings["lr"], **plain)
    train = OneByOne(split) if released else split
    rows = np.random.default_rng(1).permutation(len(split))
    order = itertools.cycle(rows)

    def get(rows):
        return {name: part.to(device, kind) for name, part in train.batch(rows).items()}

    def step():
        loss, _ = method.loss(net, get(list(itertools.islice(order, size))))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), settings["clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=not released)

    net.eval()  # the variants draw dropout's numbers in different orders
    with torch.no_grad():
        first = float(method.loss(net, get(rows[:size]))[0])
    net.train()
    flops = flops_of(lambda: method.loss(net, get(rows[:size]))[0].backward())
    net.zero_grad()
    return Way(step, not released), flops, first


def main() -> None:
    asked = arguments(__doc__, "cmran_step")
    asked.add_argument("--batch", type=int, default=32)
    asked.add_argument("--steps", type=int, default=3)
    asked.add_argument("--rounds", type=int, default=4)
    asked.add_argument("--clips", type=int, default=128)
    args = asked.parse_args()
    size, steps, rounds, clips = (
        (2, 1, 1, 4) if args.quick else (args.batch, args.steps, args.rounds, args.clips)
    )
    found, split = {"name": "cmran_step", "machine": machine(args.device)}, split_of(clips)
    made = {name: step_way(*way, split, size, args.device) for name, way in WAYS.items()}
    losses = {name: first for name, (_, _, first) in made.items()}
    exact = losses["released, float64"]
    for name, loss in losses.items():
        limit = 1e-9 if "float64" in name else 1e-4
        assert abs(loss - exact) <= limit * max(1, abs(exact)), (
            f"{name}: the first loss is {loss}, not {exact}"
        )
    peak = {
        dtype: peak_gflops(dtype, args.device)
        for dtype in dict.fromkeys(d for _, d in WAYS.values())
    }
    turns = take_turns(
        {name: way for name, (way, _, _) in made.items()}, rounds, steps, args.device
    )
    for name, line in turns.items():
        gflops = made[name][1] / line["seconds"] / 1e9
        line |= {
            "first_loss": losses[name],
            "gflop": made[name][1] / 1e9,
            "videos_a_second": size / line["seconds"],
            "share_of_peak": gflops / peak[WAYS[name][1]],
        }
        print(
            f"{name:20} {1000 * line['seconds']:8.1f} ms, {line['videos_a_second']:5.1f} videos/s,"
            f" {100 * line['share_of_peak']:3.0f} % of the peak, {line['step_memory_mb']:.0f} MB",
            flush=True,
        )
    ours = turns["ours"]
    found |= {"batch": size, "clips": clips, "peak_gflops": peak, "lines": turns}
    found["rows"] = [
        row(
            f"CMRAN, full: training step, against {dtype}",
            f"the released code's arithmetic in {dtype}, clips one by one, plain Adam",
            ours["seconds"],
            turns[f"released, {dtype}"]["seconds"],
            share_of_peak=ours["share_of_peak"],
            step_memory_mb=ours["step_memory_mb"],
            videos_a_second=ours["videos_a_second"],
        )
        for dtype in ("float64", "float32")
    ]
    write(args.out, found)


if __name__ == "__main__":
    main()
