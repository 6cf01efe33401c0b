"""Explorer of audio-guided attention: the weights over a frame under any second of audio."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from inspect import signature

import numpy as np
import torch

from avbook.errors import AvbookError
from avbook.show.explorers.base import Explorer, audio_samples, figure_image, frame_sheet
from avbook.show.plots import array, attention_over_frames
from avbook.show.widgets.threshold import rows_offered
from avbook.world.audio import RATE, render_sound
from avbook.world.build import open_clips
from avbook.world.video import render_frames, visible_masks

__all__ = ["explore_attention"]

CELL = 8  # pixels at each side of a position
KEPT = 4_000  # samples of audio a second
BARS = 20  # of loudness in a second


def explore_attention(
    net,  # a trained `AudioGuidedAttention`, or a network that returns `attention`, as `PSP`
    data,  # an `AVE` data set of a world
    clips: Sequence[int],  # rows of the test split to choose from
) -> Explorer:
    """Choose a frame and the audio that guides the attention: its own second, any second of any of
    the clips, or zeros; see the weights beside those under its own audio, and the difference. Below
    them, the same exchanges over all test clips.

    Raises `AvbookError` for a data set that is no world and rows outside the split."""
    rows = rows_offered(clips, len(data.test), "test")
    if data.kind != "world":
        raise AvbookError(
            f"a data set of kind {data.kind!r}: expected a world, whose scripts say where objects"
            " are and what they sound like"
        )
    every = open_clips(data.folder)
    scripts = [every[int(row)] for row in data.test.rows]
    batch = data.test.batch(range(len(data.test)))
    audio, visual = batch["audio"], batch["visual"]
    own = _attention(net, audio, visual)
    shown = [_clip(row, scripts[row], own.shape[-1]) for row in rows]
    for one, row in zip(shown, rows):
        maps = [_all_pairs(net, audio[other], visual[row]) for other in rows]
        nothing = _attention(net, torch.zeros_like(audio[[row]]), visual[[row]])[0]
        one |= {"maps": _stored(np.stack(maps)), "zeros": _stored(nothing)}
    first = rows[0]
    title = f"World, test clip {first}: attention guided by the clip's own audio"
    event = scripts[first].sources[0].event
    frames = render_frames(scripts[first], 112, 1)
    return Explorer(
        "attention",
        "Explorer of audio-guided attention",
        {"clips": shown, "test": _exchanges(net, batch, own, scripts)},
        figure_image(attention_over_frames(frames, own[first], event=event, title=title)),
        f"The {len(frames)} frames of test clip {first} ({_named(scripts[first])}) with the"
        " attention under its own audio laid over them.",
    )


def _side(positions) -> int:
    side = round(positions**0.5)
    if side * side != positions:
        raise AvbookError(f"{positions} positions: expected a square grid, as 7 × 7")
    return side


def _masks(clip, positions) -> np.ndarray:
    """Where each source is in sight, with `CELL` pixels at each side of a position."""
    return visible_masks(clip, CELL * _side(positions))


def _blocks(masks, side) -> np.ndarray:
    """Means over side × side pixels: (sources, T, blocks)."""
    count = masks.shape[-1] // side
    means = masks.reshape(*masks.shape[:2], count, side, count, side).mean((3, 5))
    return means.reshape(*masks.shape[:2], count * count)


def _attention(net, audio, visual) -> np.ndarray:
    """Weights (B, T, P) of the network in eval mode."""
    device, training = next(net.parameters()).device, net.training
    audio, visual = audio.to(device), visual.to(device)
    net.eval()
    try:
        with torch.inference_mode():
            if len(signature(net.forward).parameters) == 2:  # the layer alone, a page's own too
                return array(net(audio, visual)[1])
            return array(net({"audio": audio, "visual": visual})["attention"])
    finally:
        net.train(training)


def _all_pairs(net, audio, visual) -> np.ndarray:
    """Weights of each frame under each second of audio: (seconds of audio, frames, P)."""
    seconds = len(audio)
    guides = audio.unsqueeze(1).expand(-1, len(visual), -1)
    return _attention(net, guides, visual.unsqueeze(0).expand(seconds, *visual.shape))


def _stored(weights) -> str:
    """Weights as bytes of their square roots, which keep small ones apart, in base64."""
    return _base64(np.round(255 * np.sqrt(weights)).astype(np.uint8))


def _base64(values) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def _named(clip) -> str:
    """Which objects sound, are silent, or are heard out of view."""
    words = []
    for source in clip.sources:
        if source.event.any():
            words.append(f"{source.category} sounds")
        elif source.seen.any():
            words.append(f"{source.category} silent")
        else:
            words.append(f"{source.category} heard out of view")
    return ", ".join(words)


def _clip(row, clip, positions):
    """What the script reads of a clip, without its weights."""
    masks = _masks(clip, positions)
    cells, outlines = _blocks(masks, CELL), _blocks(masks, 2) >= 0.5
    objects = [
        {
            "name": source.category,
            "heard": source.heard.astype(int).tolist(),
            "cells": _base64(np.round(CELL**2 * cells[k]).astype(np.uint8)),
            "outline": _base64(np.packbits(outlines[k])),
        }
        for k, source in enumerate(clip.sources)
    ]
    samples = render_sound(clip)
    peaks = np.abs(samples).reshape(clip.seconds, BARS, -1).max(-1)
    return {
        "name": f"{row}: {_named(clip)}",
        "row": row,
        "frames": frame_sheet(render_frames(clip, 112, 1)),
        "audio": audio_samples(samples, RATE, KEPT),
        "peaks": np.round(100 * peaks).astype(int).tolist(),
        "objects": objects,
    }


def _exchanges(net, batch, own, scripts):
    """For each kind of other audio: how much attention moves in event segments, and how much lies
    on objects that sound and on silent ones, in seconds with both in view."""
    audio, visual = batch["audio"], batch["visual"]
    event = np.stack([clip.sources[0].event for clip in scripts])
    sounding, silent = np.zeros_like(own), np.zeros_like(own)
    for row, clip in enumerate(scripts):
        if any((one.seen & ~one.heard).any() for one in clip.sources):
            cells = _blocks(_masks(clip, own.shape[-1]), CELL)
            for one, covered in zip(clip.sources, cells):
                sounding[row] += covered * one.heard[:, None]
                silent[row] += covered * ~one.heard[:, None]
    both = (sounding.sum(-1) > 0) & (silent.sum(-1) > 0)
    partner = np.array([_alike(scripts, row) for row in range(len(scripts))])
    found, half = partner >= 0, audio.shape[1] // 2
    every, alike = (event, both), (both & found[:, None],) * 2
    exchanges = [  # name, audio, segments in which attention moves, seconds with both in view
        ("its own second", audio, *every),
        (f"the second {half} s away", audio.roll(half, 1), *every),
        ("another clip", audio.roll(1, 0), *every),
        ("a clip of the silent object's class", audio[np.where(found, partner, 0)], *alike),
        ("zeros", torch.zeros_like(audio), *every),
    ]
    lines = []
    for name, guide, segments, seconds in exchanges:
        weights = own if guide is audio else _attention(net, guide, visual)
        line = {"name": name, "moves": _percent(np.abs(weights - own).sum(-1) / 2, segments)}
        for key, covered in (("sounding", sounding), ("silent", silent)):
            line[key] = _percent((weights * covered).sum(-1), seconds)
        lines.append(line)
    return {
        "lines": lines,
        "covered": [_percent(cells.mean(-1), both) for cells in (sounding, silent)],
        "clips": len(scripts),
        "segments": int(event.sum()),
        "both": [int(both.any(1).sum()), int(both.sum())],
    }


def _percent(values, where) -> float | None:
    return round(100 * float(values[where].mean()), 1) if where.any() else None


def _alike(scripts, row):
    """The next clip of the class of the first silent object in view that sounds throughout; -1
    where there is none."""
    for one in scripts[row].sources:
        if (one.seen & ~one.heard).any():
            others = [(row + k) % len(scripts) for k in range(1, len(scripts))]
            for other in others:
                main = scripts[other].sources[0]
                if main.category == one.category and main.event.all():
                    return other
            return -1
    return -1
