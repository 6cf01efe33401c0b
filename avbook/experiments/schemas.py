"""Required content of a run's JSON files."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from avbook.common.schema import Schema

__all__ = ["RunRecord", "RecordedData", "Metrics", "TestScores", "Epoch"]

Scores = dict[str, float | None]  # null: undefined
SomeScores = Annotated[Scores, Field(min_length=1)]


class _Known(Schema):
    """A base with known fields; `read_json` keeps others, but checking them would take time."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class RecordedData(_Known):
    """The data set of a run."""

    kind: str  # world, official or folder
    name: str
    hash: str


class TestScores(_Known):
    """The test scores under each selection."""

    __test__ = False  # otherwise pytest takes it for a test

    val_selected: SomeScores
    last: SomeScores
    test_selected: SomeScores


class Metrics(_Known):
    """The scores of a run."""

    test: TestScores
    val: Scores = {}


class Epoch(_Known):
    """One epoch of a history."""

    epoch: int
    loss: float | None
    val: float | None = None
    test: float | None = None


class RunRecord(_Known):
    """The required content of a record, from which tables and figures are made."""

    recipe: str
    preset: str
    options: dict[str, Any]
    seed: int = Field(ge=0)
    data: RecordedData
    metrics: Metrics
    command: str
    settings: dict[str, Any] = {}
    epochs: dict[str, int] = {}
    seconds: float = 0.0
    device: str = ""
    versions: dict[str, str] = {}
    history: list[Epoch] = []
    finished: str = ""
