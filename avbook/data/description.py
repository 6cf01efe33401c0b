"""Descriptions of data folders: `pack.json` of a pack, `world.json` of generated data,
`features.json` and `report.json` of features made from videos."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import NamedTuple

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from avbook.common.schema import Schema, read_json
from avbook.data.spec import SPECS, find_spec
from avbook.errors import AvbookError

__all__ = [
    "PACK_FILE",
    "PACK_VERSION",
    "WORLD_FILE",
    "FEATURES_FILE",
    "FEATURES_VERSION",
    "REPORT_FILE",
    "VideoReport",
    "read_manifest",
    "read_world",
    "read_features",
    "read_video_reports",
]

PACK_FILE, PACK_VERSION = "pack.json", 1
WORLD_FILE = "world.json"
FEATURES_FILE, FEATURES_VERSION = "features.json", 1
REPORT_FILE = "report.json"  # beside features.json: what was found in the videos
LARGEST_BLOCK = 2**26  # largest block of several rows under one checksum, in bytes
AGAIN = "pack the official folder again"


class _Array(Schema):
    file: str
    shape: list[PositiveInt]
    block_rows: PositiveInt
    crc32: list[NonNegativeInt]  # one per block


class _CopiedFile(Schema):
    bytes: NonNegativeInt
    crc32: NonNegativeInt


class _Version(Schema):
    version: int


class _Manifest(_Version):
    task: str
    arrays: dict[str, _Array]
    files: dict[str, _CopiedFile]


class _Filters(Schema):
    filters: str
    weights: str


class _World(Schema):
    task: str | None = None
    size: str | None = None
    seed: int | None = None
    scripts: str | None = None
    features: _Filters | None = None


class _Extractor(Schema):
    """The origin of one kind of features: features that differ in any of it are not comparable."""

    name: str
    version: str
    weights: str | None  # the file's SHA-256, or another hash of its content
    seed: int | None  # seed of a projection, or of random weights
    dim: PositiveInt


class _Features(_Version):
    kind: str
    task: str
    seconds: PositiveInt
    extractors: dict[str, _Extractor]
    videos: list[str] | None = None  # ids, in the order of the rows


class _Video(Schema):
    id: str
    length: NonNegativeFloat
    notes: list[str]


class _Report(Schema):
    videos: list[_Video]


class VideoReport(NamedTuple):
    """What feature extraction found in a video."""

    length: float  # seconds of the file
    notes: tuple[str, ...]


def read_manifest(
    folder: Path,  # a data folder
) -> dict | None:
    """The contents of its `pack.json`, or None if it is not a pack; AvbookError for an unfinished
    pack, another version, or an invalid description."""
    folder = Path(folder)
    path = folder / PACK_FILE
    if not os.path.lexists(path):
        if (folder / "progress.jsonl").is_file():
            raise AvbookError(
                f"{folder}: an unfinished pack; run the same `avbook data pack` command again, it"
                " continues"
            )
        return None
    version = read_json(path, _Version, "a pack's description", AGAIN)["version"]
    if version != PACK_VERSION:
        raise AvbookError(
            f"{path}: a pack of version {version}; this avbook reads version {PACK_VERSION}:"
            f" {AGAIN}"
        )
    manifest = read_json(path, _Manifest, "a pack's description", AGAIN)
    fault = _fault(manifest)
    if fault is not None:
        raise AvbookError(f"{path}: not a pack's description ({fault}); {AGAIN}")
    return manifest


def _fault(manifest: dict) -> str | None:
    """What is impossible in the description, although every value has the right type."""
    names = [entry["file"] for entry in manifest["arrays"].values()] + list(manifest["files"])
    for name in names:
        if not name or "\0" in name or Path(name).name != name:
            return f"{name[:60]!r} is not a file name"
    for name, entry in manifest["arrays"].items():
        count, *row = entry["shape"]
        if len(row) < 2:
            return f"arrays.{name}.shape is {entry['shape']}"
        row_bytes = 2 * math.prod(row)
        if entry["block_rows"] > max(1, LARGEST_BLOCK // row_bytes):
            return f"arrays.{name}.block_rows is {entry['block_rows']}"
        blocks = -(-count // entry["block_rows"])
        if len(entry["crc32"]) != blocks:
            return f"arrays.{name}.crc32 has {len(entry['crc32'])} numbers for {blocks} blocks"
    return None


def read_world(
    folder: Path,  # a data folder
) -> dict | None:
    """The contents of the folder's world.json, or None if there is none; AvbookError if it cannot
    be read."""
    path = Path(folder) / WORLD_FILE
    if not os.path.lexists(path):
        return None
    return read_json(path, _World, "a world's description", "write the world again")


def read_features(
    folder: Path,  # a data folder
) -> dict | None:
    """The contents of the folder's features.json, or None if there is none; AvbookError if it
    cannot be read, has another version, or names extractors of another task's features."""
    path = Path(folder) / FEATURES_FILE
    if not os.path.lexists(path):
        return None
    what, advice = "a description of features", "run `avbook features` again"
    version = read_json(path, _Version, what, advice)["version"]
    if version != FEATURES_VERSION:
        raise AvbookError(
            f"{path}: features of version {version}; this avbook reads version {FEATURES_VERSION}:"
            f" {advice}"
        )
    found = read_json(path, _Features, what, advice)
    expected = set(find_spec(found["task"]).feature_files) if found["task"] in SPECS else set()
    if found["kind"] != "features" or set(found["extractors"]) != expected:
        names = ", ".join(found["extractors"]) or "nothing"
        raise AvbookError(
            f"{path}: says kind {found['kind']!r}, task {found['task']!r} and extractors of"
            f" {names[:80]}; expected kind 'features' and those of the task; {advice}"
        )
    return found


def read_video_reports(
    folder: Path,  # a data folder
) -> dict[str, VideoReport]:
    """The report of each video from the folder's report.json, by id; empty without such a file.
    AvbookError if it cannot be read."""
    path = Path(folder) / REPORT_FILE
    if not os.path.lexists(path):
        return {}
    told = read_json(path, _Report, "a report on features", "run `avbook features` again")
    return {
        one["id"]: VideoReport(float(one["length"]), tuple(one["notes"])) for one in told["videos"]
    }
