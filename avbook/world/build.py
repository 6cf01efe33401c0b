"""Writes the world: renders clips, extracts features, writes the official files of AVE and LLP."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path

import numpy as np

from avbook.common.files import (
    check_writable,
    folder_written_whole,
    os_fault,
    read_bytes,
    remove_unfinished,
)
from avbook.common.options import is_whole
from avbook.common.schema import parse_json, read_json
from avbook.common.system import cache_folder, lock
from avbook.common.tensors import one_thread
from avbook.common.workers import count_workers, in_processes
from avbook.data.annotations import read_ave_orders
from avbook.data.description import WORLD_FILE
from avbook.data.events import SECONDS
from avbook.data.spec import AVE_SPEC, SPECS, SPLITS, find_spec
from avbook.errors import AvbookError
from avbook.features.trained import FILTERS, extractor_weights
from avbook.world.audio import render_sound
from avbook.world.clips import (
    FIRST,
    SECOND,
    Clip,
    clip_from_record,
    clip_record,
    read_scripts,
    sample_background,
    sample_scripts,
)
from avbook.world.records import ClipRecord, WorldInfo
from avbook.world.video import render_frames
from avbook.world.writers import FILES, feature_shapes

__all__ = [
    "SIZES",
    "DEFAULT_FEATURES",
    "world_sizes",
    "world_dims",
    "clip_features",
    "world_clips",
    "write_world",
    "world_folder",
    "open_world",
    "open_clip",
    "open_clips",
]


SIZES = {
    task: {
        "tiny": (40, 12, 12),
        "small": (680, 200, 400),
        task: tuple(spec.splits.values()),  # as in the published data set
    }
    for task, spec in SPECS.items()
}  # clips for train, val and test
DEFAULT_FEATURES = "trained"  # default filters of a world
FIRST_SMALL = (680, 120, 200)  # clips of `small` in the first version, which has random filters
NEGATIVES = AVE_SPEC.background_clips / AVE_SPEC.clips  # background clips per clip of AVE
SIDE = 56  # pixels
VERSION = 1  # version of the folder's layout
SCRIPTS = "scripts.jsonl"  # the scripts of all clips, one per line
# raised when the same seed gives other bytes: a test compares them with stored hashes
CONTENT = {"random": 1, "trained": 2}


def world_sizes(
    task: str,  # "ave" or "llp"
    features: str = DEFAULT_FEATURES,  # "random" or "trained"
) -> dict[str, tuple[int, ...]]:
    """Size -> clips for train, val and test. With random features `small` has fewer val and test
    clips, as when its records were made."""
    _check_features(features)
    sizes = SIZES[find_spec(task).task]
    return sizes | {"small": FIRST_SMALL} if features == "random" else sizes


def _check_features(features):
    if not isinstance(features, str) or features not in FILTERS:
        raise AvbookError(
            f"features {features!r}: unknown; expected one of {', '.join(FILTERS)} (filters)"
        )


def world_dims(
    task: str,  # "ave" or "llp"
    # width at a position (AVE: 64; official 512) or of a frame (LLP: 64; official 2048)
    visual_dim: int | None = None,
    motion_dim: int | None = None,  # width of LLP's r2plus1d_18 features (32; official 512)
) -> dict[str, int]:
    """The width of each kind of features. Raises AvbookError for an unknown task or an impossible
    width."""
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
def _extractors(features, dims):
    return {name: FILTERS[features][name](dim) for name, dim in dims}


def clip_features(
    clip: Clip,
    task: str,
    dims: dict[str, int],  # from `world_dims`
    features: str = DEFAULT_FEATURES,  # "random" or "trained": the filters
) -> dict[str, np.ndarray]:
    """The features of the rendered clip, extracted from each modality separately: float32 arrays of
    `feature_shapes`."""
    frames = render_frames(clip, SIDE, find_spec(task).frames_per_second)
    found = {}
    for name, extract in _extractors(features, tuple(dims.items())).items():
        found[name] = (
            extract(render_sound(clip)) if name == "audio" else extract(frames, clip.seconds)
        )
    return found


BLOCK = 8  # clips written together


def _computed(clips, task, dims, features, workers):
    """(row, block of float32 arrays) for all clips in order, computed by worker processes or by
    this one."""
    found = in_processes(
        partial(clip_features, task=task, dims=dims, features=features),
        clips,
        workers,
        threads=1,
        at_once=2 * BLOCK * workers,
        remedy="start it again when more memory is free",
    )
    with one_thread(), contextlib.closing(found):
        for start in range(0, len(clips), BLOCK):
            try:
                some = list(islice(found, BLOCK))
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


def _check_seed(seed):
    if not is_whole(seed) or not 0 <= seed < 2**32:
        raise AvbookError(f"seed {seed!r}: expected a whole number from 0 to 2**32 - 1")


def _checked_size(task, size, features):
    sizes = world_sizes(task, features)
    if not isinstance(size, str) or size not in sizes:
        raise AvbookError(
            f"size {size!r}: unknown for task '{task}'; expected one of {', '.join(sizes)}"
        )
    return sizes[size]


def _spread(rows, k):
    """`k` of the rows, evenly spaced."""
    return (
        [rows[i] for i in np.linspace(0, len(rows), k, endpoint=False).astype(int)]
        if k < len(rows)
        else list(rows)
    )


def _scripts(task, counts, seed, levers, annotations):
    """Clips, background clips and, for AVE, the order of rows in each split."""
    if annotations is None:
        clips = sample_scripts(task, sum(counts), seed, counts, levers)
        rng = np.random.default_rng([seed, 77])
        rows = {
            split: [i for i, clip in enumerate(clips) if clip.split == split] for split in SPLITS
        }
        orders = {split: rng.permutation(rows[split]).astype(int) for split in SPLITS}
    else:
        clips = read_scripts(task, annotations, seed, levers)
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
        negatives = sample_background(round(len(clips) * NEGATIVES), seed, levers)
    return clips, negatives, orders


def _script_lines(clips):
    return "".join(json.dumps(clip_record(clip)) + "\n" for clip in clips)


def _fill(folder, task, size, seed, dims, features, annotations, workers, progress):
    """Writes everything into the (temporary) folder; `world.json` last."""
    from tqdm import tqdm

    levers = FIRST if features == "random" else SECOND[task]
    counts = _checked_size(task, size, features)
    clips, negatives, orders = _scripts(task, counts, seed, levers, annotations)
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
    (folder / SCRIPTS).write_text(_script_lines(everything), encoding="utf-8")
    (folder / "categories.txt").write_text(
        "\n".join(find_spec(task).categories) + "\n", encoding="utf-8"
    )
    files = FILES[task](folder, clips, negatives, orders, dims)
    disable = None if progress is None else not progress
    blocks = _computed(
        everything,
        task,
        dims,
        features,
        workers or (count_workers(16) if len(everything) > 100 else 1),
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
    if features == "trained":  # a world with random filters has the bytes of the first version
        info["features"] = {"filters": features, "weights": extractor_weights().hash}
    (folder / WORLD_FILE).write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")


def world_clips(
    task: str = "ave",  # "ave" or "llp"
    size: str = "small",
    *,
    annotations=None,  # as for `write_world`
    seed: int = 0,
    features: str = DEFAULT_FEATURES,  # "random" or "trained": the version of the clips
) -> list[Clip]:
    """The scripts of all clips that `write_world` would write, in row order, background clips last.
    Raises AvbookError as `write_world` does."""
    counts = _checked_size(task, size, features)
    _check_seed(seed)
    levers = FIRST if features == "random" else SECOND[task]
    clips, negatives, _ = _scripts(task, counts, seed, levers, annotations)
    return [*clips, *negatives]


def write_world(
    out,  # folder to make; must not exist, or be empty
    task: str = "ave",  # "ave" or "llp": the layout of the files
    size: str = "small",  # "tiny", "small", or the task's own name for the full size
    *,
    # folder with official annotation files, for real spans, ids and splits; None: sampled ones
    annotations=None,
    seed: int = 0,  # seed of everything that is drawn
    visual_dim: int | None = None,  # as for `world_dims`
    motion_dim: int | None = None,
    features: str = DEFAULT_FEATURES,  # the extractors' filters: "random" or "trained"
    # processes that render; None: one per core, or only this one for few clips
    workers: int | None = None,
    progress: bool | None = None,  # a progress bar; None: on a terminal
) -> Path:
    """The folder, filled with the task's official files, the scripts of all clips and `world.json`.

    It is written as a temporary sibling first, which gets the final name only when complete, and is
    removed if the work stops (by the next success, if this process is killed). Raises AvbookError
    for bad input, an occupied folder, one that another process is writing, and a full disk."""
    dims = world_dims(task, visual_dim, motion_dim)
    _checked_size(task, size, features)
    _check_seed(seed)
    if annotations is not None:
        annotations = Path(annotations).expanduser()
        if annotations.exists() and not annotations.is_dir():
            raise AvbookError(
                f"{annotations}: is a file; expected the folder with the annotation files"
            )
    with _writing(out) as out:
        if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
            raise AvbookError(
                f"{out}: exists already; choose another folder, or remove this one first"
            )
        return _write(out, task, size, int(seed), dims, features, annotations, workers, progress)


@contextlib.contextmanager
def _writing(out, wait: bool = False) -> Iterator[Path]:
    """The absolute path of a world, locked against other writers and cleared of what killed writers
    left; an OSError in the block becomes one line."""
    out = Path(out).expanduser().absolute()
    busy = None if wait else f"{out}: another process is writing this world; wait for it"
    check_writable(out.parent)
    try:
        with lock(out.with_name(f".{out.name}.lock"), busy, remove=True):
            remove_unfinished(out)
            yield out
    except OSError as error:
        raise os_fault(out, error) from error


def _write(out, task, size, seed, dims, features, annotations, workers, progress):
    with folder_written_whole(out) as folder:
        _fill(folder, task, size, seed, dims, features, annotations, workers, progress)
    return out


def world_folder(
    task: str = "ave",  # "ave" or "llp"
    size: str = "small",
    seed: int = 0,
    visual_dim: int | None = None,
    cache=None,  # folder of cached worlds; None: $AVBOOK_CACHE, else ~/.cache/avbook
    *,
    motion_dim: int | None = None,
    features: str = DEFAULT_FEATURES,  # the extractors' filters: "random" or "trained"
    workers: int | None = None,
    progress: bool | None = None,
) -> Path:
    """The folder of a sampled world, built on first use (`small`: up to a minute) and reused
    afterwards.

    Its name contains `CONTENT`, the version of the content, and the trained weights' hash, so
    another version makes a new folder. If several processes request it at once, one builds it and
    the others wait. Raises AvbookError as `write_world` does."""
    dims = world_dims(task, visual_dim, motion_dim)
    _checked_size(task, size, features)
    _check_seed(seed)
    cache = cache_folder(cache)
    widths = "x".join(str(dim) for dim in list(dims.values())[1:])
    filters = f"-{features}-{extractor_weights().hash}" if features == "trained" else ""
    version = CONTENT[features]
    folder = cache / f"{task}-{size}-seed{int(seed)}-{widths}{filters}-v{version}"
    if (folder / WORLD_FILE).is_file():  # needs no lock, so the cache may be read-only
        return folder
    other = "set AVBOOK_CACHE to a folder that can be written to"
    try:
        check_writable(cache)
    except AvbookError as error:
        raise AvbookError(f"{cache}: cannot hold a world ({error}); {other}") from None
    try:
        with _writing(folder, wait=True):
            if not (folder / WORLD_FILE).is_file():
                shutil.rmtree(folder, ignore_errors=True)
                _write(folder, task, size, int(seed), dims, features, None, workers, progress)
    except AvbookError as error:
        if not str(error).startswith(str(cache)):
            raise
        raise AvbookError(f"{error}; or {other}") from error.__cause__
    return folder


def open_world(
    folder,
) -> dict:
    """The content of the folder's `world.json`: task, size, seed, dims, counts. Raises AvbookError
    if it is missing or invalid."""
    path = Path(folder) / WORLD_FILE
    if not os.path.lexists(path):
        raise AvbookError(
            f"{path}: missing; expected a folder that write_world or world_folder made"
        )
    info = read_json(path, WorldInfo, "a world's description", "build the world again")
    if info["kind"] != "world" or info["version"] != VERSION:
        raise AvbookError(f"{path}: not a world of layout {VERSION}; build it again")
    return info


def open_clip(
    folder,  # folder of a world
    id: str | int,  # video id, or row
) -> Clip:
    """The script of one clip, for `render_frames` and `render_sound`. Raises AvbookError if no row
    or several rows have the id, and for a row that is not a script."""
    open_world(folder)
    path = Path(folder) / SCRIPTS
    lines = read_bytes(path).splitlines()
    if is_whole(id):
        rows = [int(id)]
    else:
        key = f'"id": {json.dumps(str(id))}'.encode()
        rows = [i for i, line in enumerate(lines) if key in line]
    if len(rows) > 1:
        raise AvbookError(
            f"{folder}: id {id!r} is in rows {', '.join(map(str, rows))}; pass the row instead"
        )
    if not rows or not 0 <= rows[0] < len(lines):
        some = re.search(rb'"id": "([A-Za-z0-9_-]+)"', lines[0]) if lines else None
        alike = f"; ids look like {some[1].decode()!r}" if some else ""
        raise AvbookError(f"{folder}: no clip {id!r} among {len(lines)}{alike}")
    return _clip_of(lines[rows[0]], f"{path}: line {rows[0] + 1}")


def open_clips(
    folder,  # folder of a world
) -> list[Clip]:
    """The scripts of all clips in row order, background clips last. Raises AvbookError for a row
    that is not a script."""
    open_world(folder)
    path = Path(folder) / SCRIPTS
    lines = read_bytes(path).splitlines()
    return [_clip_of(line, f"{path}: line {k}") for k, line in enumerate(lines, 1)]


def _clip_of(line, where):
    advice = "build the world again"
    record = parse_json(line, ClipRecord, where, "the script of a clip", advice)
    try:
        return clip_from_record(record)
    except AvbookError as error:
        raise AvbookError(f"{where}: {error}; {advice}") from None
