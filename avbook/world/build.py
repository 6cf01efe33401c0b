"""Writes the world: clips rendered, their features extracted, the official files of AVE and LLP."""

from __future__ import annotations

import contextlib
import json
import shutil
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path

import numpy as np

from avbook.common.files import folder_written_whole, remove_unfinished
from avbook.common.options import is_whole
from avbook.common.system import cache_folder, cores, in_processes, lock
from avbook.data.annotations import read_ave_orders
from avbook.data.events import SECONDS
from avbook.data.spec import AVE_SPEC, SPECS, SPLITS, find_spec
from avbook.errors import AvbookError
from avbook.features.extractors import (
    AudioExtractor,
    FrameExtractor,
    MotionExtractor,
    VisualExtractor,
)
from avbook.world.audio import render_sound
from avbook.world.clips import (
    Clip,
    clip_from_record,
    clip_record,
    read_scripts,
    sample_background,
    sample_scripts,
)
from avbook.world.video import render_frames
from avbook.world.writers import FILES, feature_shapes

__all__ = [
    "SIZES",
    "world_dims",
    "clip_features",
    "write_world",
    "world_folder",
    "open_world",
    "open_clip",
]


SIZES = {
    task: {
        "tiny": (40, 12, 12),
        "small": (680, 120, 200),
        task: tuple(spec.splits.values()),  # as many as the published data set has
    }
    for task, spec in SPECS.items()
}  # clips for train, val and test
NEGATIVES = AVE_SPEC.background_clips / AVE_SPEC.clips  # background clips per clip of AVE
SIDE = 56  # pixels
VERSION = 1  # of the folder's layout
CONTENT = 1  # raised when the same seed gives other bytes: a test compares them with stored hashes


def world_dims(
    task: str,  # "ave" or "llp"
    # of a position (AVE: 64; official 512) or of a frame (LLP: 64; official 2048)
    visual_dim: int | None = None,
    motion_dim: int | None = None,  # of LLP's r2plus1d_18 features (32; official 512)
) -> dict[str, int]:
    """The length of each kind of feature vector. Raises AvbookError for an unknown task or an
    impossible dimension."""
    spec = find_spec(task)
    audio, *visual = spec.features
    if motion_dim is not None and len(visual) < 2:
        raise AvbookError(
            f"motion_dim={motion_dim}: {spec.name} has no motion features; leave it out"
        )
    dims = {audio.name: audio.world_channels}
    for feature, value in zip(visual, (visual_dim, motion_dim)):
        if value is None:
            value = feature.world_channels
        if not is_whole(value) or not 1 <= value <= 8192:
            raise AvbookError(
                f"{feature.name} dimension {value!r}: expected a whole number from 1 to 8192"
            )
        dims[feature.name] = int(value)
    return dims


@lru_cache(maxsize=4)
def _extractors(task, dims):
    made = {
        "audio": AudioExtractor,
        "visual": VisualExtractor,
        "visual_2d": FrameExtractor,
        "visual_3d": MotionExtractor,
    }
    return {name: made[name](dim) for name, dim in dims}


def clip_features(
    clip: Clip,
    task: str,
    dims: dict[str, int],  # as `world_dims` gives them
) -> dict[str, np.ndarray]:
    """The clip rendered, then heard and looked at apart from each other: float32 arrays of
    `feature_shapes`."""
    frames = render_frames(clip, SIDE, find_spec(task).frames_per_second)
    found = {}
    for name, extract in _extractors(task, tuple(dims.items())).items():
        found[name] = (
            extract(render_sound(clip)) if name == "audio" else extract(frames, clip.seconds)
        )
    return found


BLOCK = 8  # clips that are written together


@contextlib.contextmanager
def _one_thread():
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _computed(clips, task, dims, workers):
    """(row, block of float32 arrays) for all clips in order; from worker processes, or from this
    one without them."""
    features = in_processes(
        partial(clip_features, task=task, dims=dims),
        clips,
        workers,
        threads=1,
        at_once=2 * BLOCK * workers,
    )
    with _one_thread(), contextlib.closing(features):
        for start in range(0, len(clips), BLOCK):
            try:
                some = list(islice(features, BLOCK))
            except AvbookError:
                raise
            except Exception as error:
                if workers == 1:
                    raise
                raise AvbookError(
                    f"a process that renders clips failed on one of rows {start} to"
                    f" {min(start + BLOCK, len(clips)) - 1}: {type(error).__name__}:"
                    f" {' '.join(str(error).split())}"
                ) from error
            block = {}
            for name in dims:
                block[name] = np.stack([one[name] for one in some]).astype(np.float32, copy=False)
            yield start, block


def _checked_size(task, size):
    if size not in SIZES[task]:
        raise AvbookError(
            f"size {size!r}: unknown for task '{task}'; expected one of {', '.join(SIZES[task])}"
        )
    return SIZES[task][size]


def _spread(rows, k):
    """`k` of the rows, evenly spaced."""
    return (
        [rows[i] for i in np.linspace(0, len(rows), k, endpoint=False).astype(int)]
        if k < len(rows)
        else list(rows)
    )


def _scripts(task, size, seed, annotations):
    """Clips, background clips and, for AVE, the order of rows in each split."""
    counts = _checked_size(task, size)
    if annotations is None:
        clips = sample_scripts(task, sum(counts), seed, counts)
        rng = np.random.default_rng([seed, 77])
        rows = {
            split: [i for i, clip in enumerate(clips) if clip.split == split] for split in SPLITS
        }
        orders = {split: rng.permutation(rows[split]).astype(int) for split in SPLITS}
    else:
        clips = read_scripts(task, annotations, seed)
        rows = {
            split: [i for i, clip in enumerate(clips) if clip.split == split] for split in SPLITS
        }
        kept = sorted(i for split, k in zip(SPLITS, counts) for i in _spread(rows[split], k))
        place = {row: new for new, row in enumerate(kept)}
        real = read_ave_orders(annotations, len(clips)) if task == AVE_SPEC.task else rows
        orders = {split: [place[i] for i in real[split] if i in place] for split in SPLITS}
        clips = [clips[i] for i in kept]
    negatives = []
    if find_spec(task).background_clips:
        negatives = sample_background(round(len(clips) * NEGATIVES), seed)
    return clips, negatives, orders


def _fill(folder, task, size, seed, dims, annotations, workers, progress):
    """Everything into the (temporary) folder; `world.json` last."""
    from tqdm import tqdm

    clips, negatives, orders = _scripts(task, size, seed, annotations)
    everything = [*clips, *negatives]
    needed = (
        1.02
        * 4
        * len(everything)
        * sum(int(np.prod(shape)) for shape in feature_shapes(task, dims).values())
    )
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise AvbookError(
            f"{folder.parent}: {free / 1e9:.2f} GB free; expected {needed / 1e9:.2f} GB for size"
            f" '{size}'; make room or choose a smaller size"
        )
    (folder / "scripts.jsonl").write_text(
        "".join(json.dumps(clip_record(clip)) + "\n" for clip in everything), encoding="utf-8"
    )
    (folder / "categories.txt").write_text(
        "\n".join(find_spec(task).categories) + "\n", encoding="utf-8"
    )
    files = FILES[task](folder, clips, negatives, orders, dims)
    disable = None if progress is None else not progress
    blocks = _computed(
        everything,
        task,
        dims,
        workers or (min(cores(), 16) if len(everything) > 100 else 1),
    )
    try:
        bar = tqdm(
            total=len(everything),
            desc=f"world {task} {size}",
            unit="clip",
            disable=disable,
            mininterval=1,
        )
        with bar, contextlib.closing(blocks):
            for start, block in blocks:
                files.write(start, block)
                bar.update(len(block["audio"]))
    finally:
        files.close()
    counts = {split: sum(clip.split == split for clip in clips) for split in SPLITS}
    if find_spec(task).background_clips:
        counts["background"] = len(negatives)
    info = {
        "kind": "world",
        "version": VERSION,
        "task": task,
        "size": size,
        "seed": seed,
        "scripts": "sampled" if annotations is None else "annotations",
        "dims": dims,
        "seconds": SECONDS,
        "counts": counts,
    }
    (folder / "world.json").write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")


def write_world(
    out,  # folder to make; must not exist, or be empty
    task: str = "ave",  # "ave" or "llp": whose files to write
    size: str = "small",  # "tiny", "small", or the task's own name for the full size
    *,
    # folder with the official annotation files: real spans, ids and splits; None: sampled ones
    annotations=None,
    seed: int = 0,  # of everything that is drawn
    visual_dim: int | None = None,  # see `world_dims`
    motion_dim: int | None = None,
    # processes that render; None: one for each core, or one alone for few clips
    workers: int | None = None,
    progress: bool | None = None,  # a progress bar; None: on a terminal
) -> Path:
    """The folder, filled with the task's official files, the scripts of all clips and `world.json`.

    Written to a temporary sibling first, which takes the name only when complete and goes when
    anything stops the work. Raises AvbookError for bad input, an occupied folder and a full
    disk."""
    out, dims = Path(out).expanduser().absolute(), world_dims(task, visual_dim, motion_dim)
    _checked_size(task, size)
    if not is_whole(seed) or seed < 0:
        raise AvbookError(f"seed {seed!r}: expected a whole number, 0 or more")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AvbookError(f"{out}: exists already; choose another folder, or remove this one first")
    try:
        with folder_written_whole(out) as folder:
            _fill(folder, task, size, int(seed), dims, annotations, workers, progress)
    except OSError as error:
        raise AvbookError(
            f"{out}: could not be written ({error}); nothing was left behind; "
            "free some space or choose another folder"
        ) from error
    return out


def world_folder(
    task: str = "ave",  # "ave" or "llp"
    size: str = "small",
    seed: int = 0,
    visual_dim: int | None = None,
    cache=None,  # folder that keeps worlds; None: $AVBOOK_CACHE, else ~/.cache/avbook
    *,
    motion_dim: int | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> Path:
    """The folder of a sampled world, built on first use (`small`: up to a minute) and found again
    afterwards.

    Its name holds `CONTENT`, the version of what is written, so another version makes a new one.
    Several processes may ask at once: one builds, the others wait. Raises AvbookError as
    `write_world` does."""
    dims = world_dims(task, visual_dim, motion_dim)
    _checked_size(task, size)
    cache = cache_folder(cache)
    widths = "x".join(str(dim) for dim in list(dims.values())[1:])
    name = f"{task}-{size}-seed{seed}-{widths}-v{CONTENT}"
    folder = cache / name
    if (folder / "world.json").is_file():
        return folder
    try:
        with lock(cache / f".{name}.lock"):
            if not (folder / "world.json").is_file():
                remove_unfinished(folder)
                shutil.rmtree(folder, ignore_errors=True)
                write_world(
                    folder,
                    task,
                    size,
                    seed=seed,
                    visual_dim=visual_dim,
                    motion_dim=motion_dim,
                    workers=workers,
                    progress=progress,
                )
    except OSError as error:
        raise AvbookError(
            f"{cache}: {error}; set AVBOOK_CACHE to a folder that can be written"
        ) from error
    return folder


def open_world(
    folder,
) -> dict:
    """What `world.json` says of the folder: task, size, seed, dims, counts. Raises AvbookError
    without a good one."""
    path = Path(folder) / "world.json"
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise AvbookError(
            f"{path}: missing; expected a folder that write_world or world_folder made"
        ) from None
    except ValueError as error:
        raise AvbookError(f"{path}: not JSON ({error}); build the world again") from None
    if not isinstance(info, dict) or info.get("kind") != "world" or info.get("version") != VERSION:
        raise AvbookError(f"{path}: not a world of layout {VERSION}; build it again")
    return info


def open_clip(
    folder,  # of a world
    id: str | int,  # video id, or row
) -> Clip:
    """The script of one clip, for `render_frames` and `render_sound`. Raises AvbookError if no row
    has the id, or several."""
    open_world(folder)
    lines = (Path(folder) / "scripts.jsonl").read_text(encoding="utf-8").splitlines()
    rows = (
        [int(id)]
        if isinstance(id, (int, np.integer))
        else [i for i, line in enumerate(lines) if f'"id": "{id}"' in line]
    )
    if len(rows) > 1:
        raise AvbookError(
            f"{folder}: id {id!r} stands in rows {', '.join(map(str, rows))}; pass the row instead"
        )
    if not rows or not 0 <= rows[0] < len(lines):
        raise AvbookError(
            f"{folder}: no clip {id!r} among {len(lines)}; ids look like"
            f" {json.loads(lines[0])['id']!r}"
        )
    return clip_from_record(json.loads(lines[rows[0]]))
