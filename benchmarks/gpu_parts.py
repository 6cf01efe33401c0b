"""Training and extractors on a GPU, each against a plain loop in the same run: PSP, full, for 300
epochs at the official sizes, and frames per second of the official networks.

    python benchmarks/gpu_parts.py [--device cuda] [--epochs 300] [--out FILE.json]

`gpu.sh` calls it with the other benchmarks that can use a card. Training: AVE's sizes (3,339, 402
and 402 clips, visual features 10×7×7×512), made-up features, batches of 128. "Plain loop": clips
converted one by one on the host and moved in each step, Adam tensor by tensor. Then each line adds
to the one above: the data on the device and fused Adam (the behaviour of `fit` if the data fits in
a quarter of the card), matrix products in TF32, the network compiled (`torch.compile`, with CUDA
graphs on a card). bfloat16 autocast comes last, on the eager network. A step's time is the median
of the fastest turn; a line that fails on a machine is reported and left out. The whole run uses the
fastest line in float32 or TF32; the plain loop's time is its step times the number of steps.

Extractors: random weights, which do not change the time; inputs in the networks' format, on the
host; "plain loop" is one at a time in float32, against 64 at a time in float32 and in TF32."""

import itertools
import json
import time
from types import SimpleNamespace

import numpy as np
from measure import Way, arguments, machine, row, seconds_of, take_turns, write
from steps import OneByOne, split_of, supervised

CLIPS = {"train": 3339, "val": 402, "test": 402}
LINES = {  # name -> differences from a plain loop
    "plain loop": {},
    "data on the device": {"held": True},
    "and TF32": {"held": True, "tf32": True},
    "and compiled": {"held": True, "tf32": True, "compiled": True},
    "bfloat16, eager": {"held": True, "bf16": True},
}
NETWORKS = {  # kind -> shape and name of one input
    "vgg19": ((224, 224, 3), "picture"),
    "resnet152": ((224, 224, 3), "picture"),
    "r2plus1d": ((8, 112, 112, 3), "clip of 8 frames"),
    "vggish": ((96, 64), "second of sound"),
}


def set_tf32(on: bool) -> None:
    """Sets whether matrix products and convolutions of float32 numbers may use TF32."""
    import torch

    torch.set_float32_matmul_precision("high" if on else "highest")
    torch.backends.cudnn.allow_tf32 = on


def built(line: dict, device: str):
    """PSP's network on the device and its method."""
    from avbook.training.device import seed_everything

    seed_everything(0)
    net, method, _ = supervised("psp-full", not line.get("held"), device)
    net.to(device).train()
    if line.get("compiled"):
        net.compile(mode="reduce-overhead" if device == "cuda" else "default")
    return net, method


def step_way(line: dict, split, size: int, device: str) -> Way:
    """A training step of a line."""
    import torch

    from avbook.training.batches import DeviceSplit
    from avbook.training.loop import make_optimizer

    net, method = built(line, device)
    if line.get("held"):
        source, optimizer = (
            DeviceSplit(split, torch.device(device)),
            make_optimizer(net, method, "adam", 1e-3, 0.0),
        )
    else:
        source = OneByOne(split)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, foreach=False, fused=False)
    order = itertools.cycle(np.random.default_rng(1).permutation(len(split)))

    def step():
        set_tf32(line.get("tf32", False))
        batch = source.batch(list(itertools.islice(order, size)))
        batch = {name: part.to(device) for name, part in batch.items()}
        with torch.autocast(device, torch.bfloat16, enabled=line.get("bf16", False)):
            loss, _ = method.loss(net, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return Way(step)


def training(
    device: str, clips: dict[str, int], size: int, epochs: int, steps: int, rounds: int
) -> dict:
    """Seconds per step of each line, and of the whole run in the fastest."""
    from avbook.training.loop import fit

    data = SimpleNamespace(**{name: split_of(count) for name, count in clips.items()})
    data.hash = "made up"
    lines: dict[str, dict] = {}
    for name, line in LINES.items():
        try:
            way = step_way(line, data.train, size, device)
            lines[name] = take_turns({name: way}, rounds, steps, device)[name]
            lines[name]["videos_a_second"] = size / lines[name]["seconds"]
            print(f"PSP, {name}: {1000 * lines[name]['seconds']:.2f} ms a step", flush=True)
        except Exception as error:  # no compiler, no bfloat16, no memory: skips only this line
            lines[name] = {"failed": f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"}
            print(f"PSP, {name}: {lines[name]['failed']}", flush=True)
    exact = [
        name for name, line in lines.items() if "seconds" in line and "bf16" not in LINES[name]
    ]
    fastest = min(exact, key=lambda name: lines[name]["seconds"])
    line = LINES[fastest]
    net, method = built(line, device)
    set_tf32(line.get("tf32", False))
    whole = seconds_of(
        lambda: fit(
            net,
            method,
            data,
            epochs=epochs,
            batch_size=size,
            device=device,
            keep_on_device=line.get("held"),
            progress=False,
        ),
        device,
    )
    set_tf32(False)
    steps_of_run = epochs * -(-clips["train"] // size)
    plain = lines["plain loop"]["seconds"] * steps_of_run
    print(f"PSP, {epochs} epochs, {fastest}: {whole:.1f} s; plain loop {plain:.0f} s", flush=True)
    return {
        "lines": lines,
        "whole_run": {
            "line": fastest,
            "epochs": epochs,
            "steps": steps_of_run,
            "seconds": whole,  # including validation and test of every epoch
            "plain_loop_seconds": plain,  # steps only
        },
    }


def extractors(device: str, networks: dict, many: int, repeat: int) -> dict:
    """Inputs per second of each network: one at a time, and many, in float32 and TF32."""
    import torch

    from avbook.features.official_weights import PUBLISHED

    found: dict[str, dict] = {}
    rng = np.random.default_rng(0)
    for kind, (shape, what) in networks.items():
        torch.manual_seed(0)
        net = PUBLISHED[kind].build().eval().to(device)
        inputs = torch.from_numpy(rng.random((many, *shape), np.float32))
        if shape[-1] == 3:
            inputs = inputs.movedim(-1, 1).contiguous()

        def run(at_once: int, tf32: bool, net=net, inputs=inputs) -> float:
            set_tf32(tf32)
            with torch.inference_mode():
                return seconds_of(
                    lambda: [net(part.to(device)) for part in inputs.split(at_once)], device
                ) / len(inputs)

        run(many, False)
        line = {"input": what, "inputs": many}
        for name, at_once, tf32 in (
            ("plain loop", 1, False),
            ("batch", many, False),
            ("batch, TF32", many, True),
        ):
            run(at_once, tf32)  # the first call of a shape is not timed
            line[name] = {"seconds": min(run(at_once, tf32) for _ in range(repeat))}
            line[name]["inputs_a_second"] = 1 / line[name]["seconds"]
        found[kind] = line
        print(f"{kind}: {json.dumps(line)}", flush=True)
    set_tf32(False)
    return found


def main() -> None:
    asked = arguments(__doc__, "gpu_parts")
    asked.add_argument("--epochs", type=int, default=300)
    args = asked.parse_args()
    started = time.perf_counter()
    clips, size, epochs, steps, rounds, networks, many, repeat = (
        CLIPS, 128, args.epochs, 20, 2, NETWORKS, 64, 3,
    )  # fmt: skip
    if args.quick:
        clips, size, epochs, steps, rounds = {"train": 5, "val": 2, "test": 2}, 2, 2, 1, 1
        networks, many, repeat = {"vggish": NETWORKS["vggish"]}, 2, 1
    found = {"name": "gpu_parts", "machine": machine(args.device)}
    found["training"] = training(args.device, clips, size, epochs, steps, rounds)
    found["extractors"] = extractors(args.device, networks, many, repeat)
    run = found["training"]["whole_run"]
    found["rows"] = [
        row(
            f"PSP, full: {epochs} epochs, {run['line']}",
            "clips one by one, in float32 (its step times the steps)",
            run["seconds"],
            run["plain_loop_seconds"],
        ),
        *(
            row(
                f"{kind}: a {line['input']}",
                "one at a time, float32",
                line["batch, TF32"]["seconds"],
                line["plain loop"]["seconds"],
            )
            for kind, line in found["extractors"].items()
        ),
    ]
    found["seconds"] = time.perf_counter() - started
    write(args.out, found)


if __name__ == "__main__":
    main()
