"""Required content of a world's files: `world.json`, and a line of `scripts.jsonl`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from avbook.common.schema import Schema
from avbook.data.events import SECONDS

__all__ = ["WorldInfo", "ClipRecord", "SourceRecord"]

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[int, Field(ge=1, le=10 * SECONDS)]
Share = Annotated[float, Field(ge=0, le=1)]
Bits = Annotated[str, Field(pattern=r"\A[01]+\z")]  # one character per second
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Filters(Schema):
    """The extractors of a world."""

    filters: str  # "trained"
    weights: str  # their hash


class WorldInfo(Schema):
    """`world.json`."""

    kind: str
    version: int
    task: str
    size: str
    seed: Count
    scripts: str
    dims: dict[str, Annotated[int, Field(ge=1)]]  # name of the features -> channels
    seconds: Seconds
    counts: dict[str, Count]  # split -> clips
    features: Filters | None = None  # None: random filters


class SourceRecord(Schema):
    """One source of a clip, as written by `clip_record`."""

    category: str
    heard: Bits
    seen: Bits
    size: Share
    tempo: Annotated[float, Field(ge=0.05, le=20)]
    phase: Annotated[float, Field(ge=-1000, le=1000)]
    motion: Share
    x: Share
    y: Share
    seed: Seed


class ClipRecord(Schema):
    """A clip, as written by `clip_record`."""

    id: str
    sources: list[SourceRecord]
    seed: Seed
    lead: Annotated[float, Field(ge=-0.9, le=0.9)]
    snr_db: Annotated[float, Field(ge=-200, le=200)]
    shake: Share
    difficulty: Share = 0
    split: str
    seconds: Seconds
    labels: list[str]
    file_name: str
