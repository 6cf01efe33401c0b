"""Training of the world's extractors on the corpus, and their conversion to integers."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from avbook.common.files import check_writable, folder_written_whole
from avbook.common.options import check_int
from avbook.common.workers import count_workers, in_processes
from avbook.errors import AvbookError
from avbook.features.frame_filters import FirstLayer
from avbook.features.random_layers import pooled
from avbook.features.trained import (
    LARGEST,
    LAYERS,
    VERSION,
    change_network,
    convolutions,
    extractor_weights,
    levels,
    picture_network,
    sound_network,
    trained_eye,
)
from avbook.world.corpus import PICTURES, SOUNDS, render_pair, render_second

__all__ = ["TrainingOptions", "train_extractors", "compare_extractors"]

FILE, LOG = "extractors.safetensors", "training.json"
HELD_OUT = 0.1  # held-out share of the corpus


@dataclass(frozen=True)
class TrainingOptions:
    """The training options of the extractors; the numbers come from the world's calibration."""

    seed: int = 0  # of the corpus, the initial weights and the order of the examples
    pictures: int = 10_000  # pairs of frames
    sounds: int = 6_000  # seconds of sound
    picture_epochs: int = 5
    sound_epochs: int = 4
    change_epochs: int = 5
    batch: int = 64
    lr: float = 2e-3  # learning rate of AdamW, falling to zero along half a cosine

    def with_epochs(self, epochs: int) -> TrainingOptions:
        """The same options with this number of epochs for each network."""
        return replace(self, picture_epochs=epochs, sound_epochs=epochs, change_epochs=epochs)


class _Network(nn.Module):
    """The float network that becomes one of LAYERS: convolutions, each normalised and rectified,
    and a linear classifier that is dropped after training."""

    def __init__(self, name: str, categories: int):
        super().__init__()
        self.name = name
        forms = LAYERS[name]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(f.inputs, f.outputs, f.kernel, f.stride, f.padding, bias=False) for f in forms
        )
        # the change network must map zero to zero: its offsets are negative, and it has no centring
        self.norms = nn.ModuleList(
            _ZeroNorm(f.outputs) if name == "change" else nn.BatchNorm2d(f.outputs) for f in forms
        )
        width = forms[-1].outputs
        self.classify = nn.Linear(width if name == "sound" else 2 * width, categories)

    def maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The output of each layer, from integer inputs."""
        x, found = x / 32, []
        for k, (convolution, norm) in enumerate(zip(self.convolutions, self.norms)):
            if self.name == "sound" and k == len(self.convolutions) - 1:
                x = torch.cat([x.sum(2) / 8, x.amax(2)], 1).flatten(1)[:, :, None, None]
            x = F.relu(norm(convolution(x)))
            found.append(x)
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, categories)."""
        last = self.maps(x)[-1]
        pooled = (
            last.flatten(1)
            if self.name == "sound"
            else torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1)
        )
        return self.classify(F.dropout(pooled, 0.2, self.training))


class _ZeroNorm(nn.Module):
    """Batch normalisation without a mean and with a negative offset, so that zero stays zero after
    a ReLU."""

    running_square: torch.Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.below = nn.Parameter(torch.full((channels,), -2.0))
        self.register_buffer("running_square", torch.ones(channels))

    def affine(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and offset at inference."""
        return self.weight / (self.running_square + 1e-5).sqrt(), -F.softplus(self.below)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        square = self.running_square
        if self.training:
            square = x.square().mean((0, 2, 3))
            self.running_square.lerp_(square.detach(), 0.1)
        scale = self.weight / (square + 1e-5).sqrt()
        return x * scale[:, None, None] - F.softplus(self.below)[:, None, None]


def _affine(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and offset of a normalisation layer at inference."""
    if isinstance(norm, _ZeroNorm):
        return norm.affine()
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None and norm.running_mean is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


def _rendered(render, count, workers, progress, what):
    """Inputs and labels of the corpus' first `count` examples."""
    from tqdm import tqdm

    examples = in_processes(render, range(count), workers, threads=1, at_once=64 * workers)
    inputs, labels = [], []
    bar = tqdm(
        examples, what, count, unit="example", disable=None if progress is None else not progress
    )
    for example, label in bar:
        inputs.append(example)
        labels.append(label)
    return np.stack(inputs), torch.from_numpy(np.stack(labels))


def _fit(network, inputs, labels, epochs, options, say) -> list[dict[str, float]]:
    """The log of training on all but the last tenth; `inputs(rows)` returns float maps."""
    held = round(len(labels) * HELD_OUT)
    count = len(labels) - held
    steps = epochs * math.ceil(count / options.batch)
    optimiser = torch.optim.AdamW(network.parameters(), options.lr, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * min(step / max(steps, 1), 1)))
    )
    order, log = torch.Generator().manual_seed(options.seed), []
    for epoch in range(epochs):
        network.train()
        total = 0.0
        for rows in torch.randperm(count, generator=order).split(options.batch):
            loss = F.binary_cross_entropy_with_logits(network(inputs(rows)), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        entry = {"epoch": epoch + 1, "loss": total / count} | _judged(
            network, inputs, labels, range(count, len(labels))
        )
        log.append({key: round(value, 4) for key, value in entry.items()})
        say(f"{network.name}: {log[-1]}")
    return log


@torch.no_grad()
def _judged(network, inputs, labels, rows) -> dict[str, float]:
    """Loss and mean average precision (%) on held-out rows."""
    from sklearn.metrics import average_precision_score

    network.eval()
    rows = torch.tensor(list(rows))
    logits = torch.cat([network(inputs(some)) for some in rows.split(256)])
    truth = labels[rows]
    there = truth.any(0)
    return {
        "held_out_loss": float(F.binary_cross_entropy_with_logits(logits, truth)),
        "held_out_map": 100
        * float(average_precision_score(truth[:, there], logits[:, there], average="macro")),
    }


@torch.no_grad()
def _whole(network: _Network, sample: torch.Tensor) -> dict[str, torch.Tensor]:
    """The network's convolutions as integers: weights of 8 bits and a power of two per channel,
    chosen so that the 99.9th percentile of a channel on the sample lies between 127 and 255."""
    network.eval()
    arrays, before = {}, torch.full((LAYERS[network.name][0].inputs,), 32.0)
    for k, (convolution, norm, maps) in enumerate(
        zip(network.convolutions, network.norms, network.maps(sample))
    ):
        assert isinstance(convolution, nn.Conv2d)
        scale, offset = _affine(norm)
        if network.name == "sound" and k == len(LAYERS["sound"]) - 1:
            # pooled: 64 channels by 4 bands, mean and maximum
            before = before.repeat_interleave(4).repeat(2)
        weights = convolution.weight * scale[:, None, None, None] / before[:, None, None]
        # whole = weight · 2^fine fits 8 bits; output = sums · 2^-fine · 2^coarse fits 0..255
        fine = torch.floor(torch.log2(127 / weights.abs().amax((1, 2, 3)).clamp(min=1e-12)))
        high = torch.quantile(maps.permute(1, 0, 2, 3).flatten(1)[:, :200_000], 0.999, dim=1)
        coarse = torch.floor(torch.log2(LARGEST / high.clamp(min=1e-3)))
        name = f"{network.name}.{k}"
        arrays[f"{name}.weight"] = (weights * 2 ** fine[:, None, None, None]).round().to(torch.int8)
        arrays[f"{name}.offset"] = (offset * 2**fine).round().to(torch.int32)
        arrays[f"{name}.shift"] = (fine - coarse).to(torch.int8)
        before = 2**coarse
    return arrays


def _gain(values: torch.Tensor) -> torch.Tensor:
    """Per channel, the power of two that brings the standard deviation close to 1, as its negative
    exponent."""
    return values.std(0).clamp(min=1).log2().round().to(torch.int8)


def train_extractors(
    out,  # folder to make: the weights and the log
    options: TrainingOptions = TrainingOptions(),
    *,
    workers: int | None = None,  # processes that render the corpus; None: one per core
    progress: bool | None = None,  # progress bars; None: on a terminal
    say: Callable[[str], None] = print,  # called with a line for each epoch
) -> dict[str, Any]:
    """The log, which is also written beside the weights: options, seconds, and for each network and
    epoch the loss and the mean average precision on held-out examples.

    On one machine the same seed gives the same weights; on another they may differ in the last
    bits, since training sums in float32. Raises AvbookError for bad options and an occupied
    folder."""
    check_int(
        seed=(options.seed, 0),
        pictures=(options.pictures, 100),
        sounds=(options.sounds, 100),
        batch=(options.batch, 1),
    )
    out = Path(out).expanduser()
    if out.exists():
        raise AvbookError(f"{out}: exists already; choose another folder, or remove this one first")
    check_writable(out.parent)
    from safetensors.torch import save_file

    workers, start = workers or count_workers(16), time.monotonic()
    state = torch.get_rng_state()
    try:
        arrays, log = _train(options, workers, progress, say)
    finally:
        torch.set_rng_state(state)
    with folder_written_whole(out) as folder:
        save_file(
            {name: array.contiguous() for name, array in arrays.items()},
            folder / FILE,
            {"version": str(VERSION)},
        )
        told = {
            "options": asdict(options),
            "hash": extractor_weights(folder / FILE).hash,
            "pictures": list(PICTURES),
            "sounds": list(SOUNDS),
            "seconds": round(time.monotonic() - start),
            "threads": torch.get_num_threads(),
            "log": log,
        }
        (folder / LOG).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return told


def _train(options, workers, progress, say):
    """The arrays of a weight file, and the log by network."""
    arrays: dict[str, torch.Tensor] = {}
    log: dict[str, list] = {}

    def fit(name, inputs, labels, categories, epochs):
        torch.manual_seed(options.seed)  # so that each network is independent of the others
        network = _Network(name, categories)
        log[name] = _fit(network, inputs, labels, epochs, options, say)
        sample = inputs(torch.arange(min(512, len(labels))))
        arrays.update(_whole(network, sample))
        return sample

    steps, labels = _sounds(options, workers, progress)
    heard = fit(
        "sound", lambda rows: steps[rows].float(), labels, len(SOUNDS), options.sound_epochs
    )
    first_layer = FirstLayer(np.random.default_rng([0, 2]))
    first, second, labels = _pictures(first_layer, options, workers, progress)

    def still(rows):
        return first[rows].float()

    def change(rows):
        return second[rows].float() - first[rows].float()

    seen = fit("picture", still, labels, len(PICTURES), options.picture_epochs)
    moved = fit("change", change, labels, len(PICTURES), options.change_epochs)
    arrays["eye.shift"] = first_layer._unit.flatten().log2().to(torch.int8)
    arrays |= _samples(arrays, heard, seen, moved)
    return arrays, log


def _sounds(options, workers, progress):
    """The audio network's inputs, uint8, and the labels."""
    render = partial(render_second, seed=options.seed)
    patches, labels = _rendered(render, options.sounds, workers, progress, "sounds")
    return levels(torch.from_numpy(patches)).to(torch.uint8), labels


@torch.no_grad()
def _pictures(first_layer, options, workers, progress):
    """The first layer's maps of both frames of each pair, uint8, and the labels."""
    render = partial(render_pair, seed=options.seed)
    pairs, labels = _rendered(render, options.pictures, workers, progress, "pictures")
    frames = torch.from_numpy(pairs)
    first, second = (
        torch.cat([first_layer(some).to(torch.uint8) for some in frames[:, k].split(256)])
        for k in (0, 1)
    )
    return first, second, labels


def compare_extractors(
    folder,  # folder made by `train_extractors`
    examples: int = 400,  # number of each kind, from a corpus of another seed
) -> list[str]:
    """How similar another training's features are to the package's, one line per network: the R² of
    a linear map from those to these, fitted on half of the examples."""
    ours, theirs = extractor_weights(), extractor_weights(Path(folder) / FILE)
    if ours.hash == theirs.hash:
        return [f"the same weights as the package's, {ours.hash}"]
    seed = 2**31
    patches = np.stack([render_second(k, seed)[0] for k in range(examples)])
    frames = torch.from_numpy(np.stack([render_pair(k, seed)[0][0] for k in range(examples)]))
    lines = [f"weights {theirs.hash}, the package's {ours.hash}"]
    for name in ("sound", "picture"):
        found = []
        for weights in (ours, theirs):
            with torch.no_grad():
                if name == "sound":
                    values = sound_network(
                        weights.networks[name], levels(torch.from_numpy(patches))
                    )
                else:
                    maps = picture_network(weights.networks[name], trained_eye(weights)(frames))
                    values = maps.mean((2, 3))
            found.append(values.numpy())
        lines.append(f"{name}: R² {_explained(*found):.2f} of our features from theirs")
    return lines


def _explained(target, source):
    """R² on the second half of a ridge regression fitted on the first half."""
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import StandardScaler

    half = len(source) // 2
    source, target = (StandardScaler().fit(x[:half]).transform(x) for x in (source, target))
    fit = RidgeCV(np.logspace(-1, 4, 11)).fit(source[:half], target[:half])
    return float(fit.score(source[half:], target[half:]))


@torch.no_grad()
def _samples(arrays, sounds, pictures, changes):
    """Outputs of the integer networks on examples, and gains computed from them."""
    heard = sound_network(convolutions(arrays, "sound"), sounds)
    maps = picture_network(convolutions(arrays, "picture"), pictures)
    moved = change_network(convolutions(arrays, "change"), changes)
    positions = maps.permute(0, 2, 3, 1).flatten(0, 2)
    return {
        "sound.gain": _gain(heard),
        "picture.gain": _gain(positions),
        "sample.position": positions[::98][:256].to(torch.int16),
        "sample.picture": pooled(maps)[:256].to(torch.int16),
        "sample.change": pooled(moved)[:256].to(torch.int16),
    }
