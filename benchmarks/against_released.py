"""A training step of a released repository against ours, on the same arrays, in turns.

    git clone https://github.com/jasongief/PSP_CVPR_2021 psp
    python benchmarks/against_released.py psp [--device cuda] [--batch N] [--steps 5] [--rounds 6]

CLONE is a clone of the authors' code, of PSP (https://github.com/jasongief/PSP_CVPR_2021) or of MA
(https://github.com/Yu-Wu/Modaily-Aware-Audio-Visual-Video-Parsing); it is imported from there and
is not part of this package. Its network, its losses, its batch reading (PSP's; MA's reads files,
which is left out on both sides) and its optimizer are called as in its own loop; on a CPU `.cuda()`
returns the tensor itself. Ours starts from the same weights (`avbook.load_released`), and both give
the same first loss (asserted). Arrays are made up, at the official sizes, float32 in CPU memory; a
step reads a batch, moves it to the device, runs forward and backward, and updates. A time is the
median step of the fastest round."""

import contextlib
import importlib.util
import itertools
import sys
import types
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from measure import RESULTS, Way, arguments, flops_of, machine, peak_gflops, row, take_turns, write


def load(path: Path, name: str):
    """The module of a file of the clone, under its own name."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def quietly():
    """Silences warnings of PyTorch about released code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def without_cuda() -> None:
    """Makes `.cuda()` leave a tensor where it is, from here on."""
    import torch

    torch.Tensor.cuda = lambda self, *_, **__: self


def ours(kind: str, recipe: str, state: dict, device: str):
    """Our network with the released weights, its method and its optimizer, as in `fit`."""
    import torch

    from avbook import load_released
    from avbook.experiments.recipes import find_recipe
    from avbook.training.loop import make_optimizer

    settings = find_recipe(recipe).preset("paper")
    sizes = DIMS[kind]
    _, method = find_recipe(recipe).build(settings, sizes)
    net = load_released(kind, state).to(torch.device(device))
    return settings, net, method, make_optimizer(net, method, "adam", settings["lr"], 0.0)


DIMS = {
    "psp-full": {"categories": 28, "audio_dim": 128, "visual_dim": 512, "positions": 49},
    "ma": {"categories": 25, "audio_dim": 128, "visual_2d_dim": 2048, "visual_3d_dim": 512},
}


def step_of(net, method, optimizer, get):
    """Our step: the work of `avbook.training.loop.fit` on a batch."""

    def step():
        loss, _ = method.loss(net, get())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def first_losses(theirs, own, nets, tolerance=1e-4) -> float:
    """The loss of both on the same batch without dropout; AssertionError if they differ."""
    import torch

    for net in nets:
        net.eval()
    with torch.no_grad(), quietly():
        released, mine = float(theirs()), float(own())
    for net in nets:
        net.train()
    assert abs(released - mine) <= tolerance * max(1, abs(released)), (
        f"the first loss is {mine}, not {released} as in the released code"
    )
    return released


# --------------------------------------------------------------------------------------------- PSP
def psp(clone: Path, clips: int, batch: int, device: str):
    """(ways, floating-point operations of our step, first loss) of PSP, fully supervised."""
    import torch
    from torch import nn

    from avbook.data.ave import AVESplit
    from avbook.data.cache import CachedStore

    rng = np.random.default_rng(0)
    audio = rng.random((clips, 10, 128), np.float32)
    visual = rng.random((clips, 10, 7, 7, 512), np.float32)
    kinds = np.where(rng.random((clips, 10)) < 0.8, rng.integers(0, 28, (clips, 1)), 28)
    labels = np.eye(29, dtype=np.float32)[kinds]

    model, loading = load(clone / "fully_model.py", "r_model"), load(clone / "dataloader.py", "r_d")
    measures = load(clone / "measure.py", "r_measure")
    torch.manual_seed(0)
    with quietly():
        net = model.psp_net(128, 512, 128, 29).to(device)
    settings, own, method, optimizer = ours("psp-full", "psp-full", net.state_dict(), device)
    released_optimizer = torch.optim.Adam(net.parameters(), lr=settings["lr"])

    data = loading.AVE_Fully_Dataset.__new__(loading.AVE_Fully_Dataset)  # its files are not needed
    data.batch_size, data.list_copy = batch, list(range(clips))
    data.audio_features, data.video_features, data.labels = audio, visual, labels
    data.video_batch = np.zeros((batch, 10, 7, 7, 512), np.float32)
    data.audio_batch = np.zeros((batch, 10, 128), np.float32)
    data.label_batch = np.zeros((batch, 10, 29), np.float32)
    data.segment_label_batch = np.zeros((batch, 10), np.float32)
    data.segment_avps_gt_batch = np.zeros((batch, 10), np.float32)

    def their_loss(number, shuffle=False):
        data.segment_avps_gt_batch[:] = 0  # the released code does not clear the last batch's
        sound, pictures, _, segments, pairs = (
            part.to(device) for part in data.get_batch(number, shuffle)
        )
        _, scores, similarity = net(sound, pictures, settings["tau"])
        category = nn.CrossEntropyLoss()(scores.permute(0, 2, 1), segments)
        return category + settings["lam"] * measures.AVPSLoss(similarity, pairs)

    turn = itertools.count()

    def their_step():
        with quietly():
            number = next(turn) % (clips // batch)
            net.zero_grad()
            loss = their_loss(number, shuffle=number == 0)
            loss.cpu().data.numpy()
            loss.backward()
            released_optimizer.step()

    stores = {
        name: CachedStore(SimpleNamespace(path=name), torch.from_numpy(array))
        for name, array in (("audio", audio), ("visual", visual))
    }
    split = AVESplit(
        "train", np.arange(clips).astype(str), np.arange(clips), stores, {"labels": labels}
    )
    order = itertools.cycle(rng.permutation(clips))

    def get(rows=None):
        rows = list(itertools.islice(order, batch)) if rows is None else rows
        return {name: part.to(device) for name, part in split.batch(rows).items()}

    def own_loss():
        return method.loss(own, get(range(batch)))[0]

    first = first_losses(lambda: their_loss(0), own_loss, (net, own))
    flops = flops_of(lambda: own_loss().backward())
    own.zero_grad()
    ways = {
        "released": Way(their_step),
        "ours": Way(step_of(own, method, optimizer, get), keep_memory=True),
    }
    return ways, flops, first


# ---------------------------------------------------------------------------------------------- MA
def ma(clone: Path, clips: int, batch: int, device: str):
    """(ways, floating-point operations of our step, first loss) of MA's training with refined
    labels, the third step of the released code."""
    import torch

    rng = np.random.default_rng(0)
    batches = []
    for _ in range(max(1, clips // batch)):
        labels = (rng.random((batch, 25)) < 0.1).astype(np.float32)
        parts = {
            "audio": rng.random((batch, 10, 128), np.float32),
            "visual_2d": rng.random((batch, 80, 2048), np.float32),
            "visual_3d": rng.random((batch, 10, 512), np.float32),
            "video_labels": labels,
            "audio_targets": labels,
            "visual_targets": 0.9 * labels + 0.05,
        }
        batches.append({name: torch.from_numpy(part) for name, part in parts.items()})
    step_folder = clone / "step3_retrain"
    sys.path.insert(0, str(step_folder))
    if importlib.util.find_spec("torchvision") is None:  # imported, but not used in a step
        fake = types.ModuleType("torchvision")
        fake.transforms = fake.utils = types.ModuleType("torchvision.transforms")
        sys.modules["torchvision"] = fake
    load(step_folder / "dataloader.py", "dataloader")
    nets, main = (
        importlib.import_module("nets.net_audiovisual"),
        load(step_folder / "main_avvp.py", "r_main"),
    )
    torch.manual_seed(0)
    with quietly():
        net = nets.MMIL_Net().to(device)
    settings, own, method, optimizer = ours("ma", "ma", net.state_dict(), device)
    released_optimizer = torch.optim.Adam(net.parameters(), lr=settings["lr"])
    binary, smoothed = torch.nn.BCELoss(), main.LabelSmoothingLoss(10, smoothing=0.1)

    def their_loss(given):
        part = {name: tensor.to(device) for name, tensor in given.items()}
        video, sound, picture, _, similarity, seconds = net(
            part["audio"], part["visual_2d"], part["visual_3d"], part["audio"]
        )
        for scores in (video, sound, picture):
            scores.clamp_(min=1e-7, max=1 - 1e-7)
        return (
            binary(sound, part["audio_targets"])
            + binary(picture, part["visual_targets"])
            + binary(video, part["video_labels"])
            + smoothed(similarity, seconds)
        )

    theirs, mine = itertools.cycle(batches), itertools.cycle(batches)

    def their_step():
        with quietly():
            released_optimizer.zero_grad()
            loss = their_loss(next(theirs))
            loss.backward()
            released_optimizer.step()

    def get(given=None):
        return {name: part.to(device) for name, part in (given or next(mine)).items()}

    def own_loss():
        return method.loss(own, get(batches[0]))[0]

    first = first_losses(lambda: their_loss(batches[0]), own_loss, (net, own))
    flops = flops_of(lambda: own_loss().backward())
    own.zero_grad()
    ways = {
        "released": Way(their_step),
        "ours": Way(step_of(own, method, optimizer, get), keep_memory=True),
    }
    return ways, flops, first


KINDS = {  # a file of the clone -> name of the record, title, ways, batch and clips
    "fully_model.py": ("psp", "PSP, full", psp, 128, 512),
    "step3_retrain": ("ma", "MA", ma, 16, 320),
}


def main() -> None:
    asked = arguments(__doc__, "against_released")
    asked.set_defaults(out=None)
    asked.add_argument("clone", type=Path, help="a clone of the authors' repository")
    asked.add_argument("--batch", type=int, help="as the released code's: 128 and 16")
    asked.add_argument("--steps", type=int, default=5)
    asked.add_argument("--rounds", type=int, default=6)
    args = asked.parse_args()
    found = [kind for file, kind in KINDS.items() if (args.clone / file).exists()]
    if not found:
        sys.exit(f"{args.clone}: has neither {' nor '.join(KINDS)}; expected a clone of PSP or MA")
    short, title, make, batch, clips = found[0]
    out = args.out or RESULTS / f"against_released_{short}.json"
    batch, steps, rounds = args.batch or batch, args.steps, args.rounds
    if args.quick:
        batch, clips, steps, rounds = 2, 4, 1, 1
    if args.device == "cpu":
        without_cuda()
    about = machine(args.device)
    ways, flops, first = make(args.clone, clips, batch, args.device)
    peak = peak_gflops("float32", args.device)
    turns = take_turns(ways, rounds, steps, args.device)
    for name, line in turns.items():
        line["share_of_peak"] = flops / line["seconds"] / 1e9 / peak
        print(
            f"{title}, {name:8} {1000 * line['seconds']:8.1f} ms a step,"
            f" {batch / line['seconds']:6.1f} videos/s, {100 * line['share_of_peak']:3.0f} % of the"
            f" peak, {line['step_memory_mb']:.0f} MB",
            flush=True,
        )
    line = row(
        f"{title}: training step, against the released code",
        "the authors' released code, imported from a clone",
        turns["ours"]["seconds"],
        turns["released"]["seconds"],
        share_of_peak=turns["ours"]["share_of_peak"],
        step_memory_mb=turns["ours"]["step_memory_mb"],
        videos_a_second=batch / turns["ours"]["seconds"],
    )
    print(f"{title}: ×{line['times_faster']:.2f} ({about['device']}, {about['threads']} threads)")
    record = {
        "name": f"against_released_{short}",
        "machine": about,
        "batch": batch,
        "clips": clips,
        "first_loss": first,
        "gflop_a_step": flops / 1e9,
        "peak_gflops": peak,
        "lines": turns,
        "rows": [line],
    }
    write(out, record)


if __name__ == "__main__":
    main()
