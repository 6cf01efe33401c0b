"""Directions: claims that one setting scores higher than another, compared seed by seed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from avbook.experiments.records import Records, check_one_data_set
from avbook.experiments.tables import Summary, get_score, summarise
from avbook.papers import ORDERING_CLAIMS
from avbook.papers.schema import OrderingClaim

__all__ = [
    "FIRST_SEEDS",
    "LAST_SEEDS",
    "Comparison",
    "compare",
    "ordering_rows",
    "ordering_claims",
    "undecided_claims",
]

# the book's rule: every direction is tried with this many seeds, and those still undecided with
# this many in total; fixed on 2026-11-28, before the runs that it asks for
FIRST_SEEDS, LAST_SEEDS = 10, 20


@dataclass(frozen=True)
class Comparison:
    """Two settings on the same seeds: the mean difference, its 95 % interval, and the verdict on a
    claim."""

    gap: Summary | None
    verdict: str  # agrees | disagrees | undecided | not run

    @property
    def excludes(self) -> float | None:
        """The size of the gaps that an undecided comparison excludes, in points: the larger bound
        of its interval. None for other verdicts, and without an interval."""
        if self.verdict != "undecided" or self.gap is None or self.gap.n == 1:
            return None
        return max(abs(self.gap.low), abs(self.gap.high))

    def holds(
        self,
        gap: float | None,  # points, such as the paper's
    ) -> bool | None:
        """Whether a gap lies inside the interval; None if either is missing."""
        if gap is None or self.gap is None or self.gap.n == 1:
            return None
        return self.gap.low <= gap <= self.gap.high


def compare(
    better: list[dict[str, Any]],  # records of the setting claimed to be better
    worse: list[dict[str, Any]],
    metric: str = "accuracy",
    selection: str = "val_selected",
) -> Comparison:
    """Compares two settings seed by seed.

    The verdict is "agrees" if the 95 % interval of the mean difference lies above zero, "disagrees"
    if it lies below, "undecided" if it contains zero or fewer than two seeds can be compared, "not
    run" if no seed has a record of both. Raises `AvbookError` for records of several data sets."""
    check_one_data_set([*better, *worse], "the records to compare")
    left = {r["seed"]: get_score(r, metric, selection) for r in better}
    right = {r["seed"]: get_score(r, metric, selection) for r in worse}
    shared = sorted(left.keys() & right.keys())
    gap = summarise(left[s] - right[s] for s in shared)
    if gap is None:
        return Comparison(None, "undecided" if shared else "not run")
    if gap.n == 1 or gap.low <= 0 <= gap.high:
        return Comparison(gap, "undecided")
    return Comparison(gap, "agrees" if gap.low > 0 else "disagrees")


def ordering_claims(
    prefix: str,  # key of a table, such as "psp-1", or of a paper, "psp"
    only: str | None = None,  # a column
) -> list[OrderingClaim]:
    """The directions that a table or a paper states, in its order."""
    return [
        claim
        for claim in ORDERING_CLAIMS
        if claim.key.startswith(f"{prefix}-")
        and (not only or f"-{only}-" in claim.key or claim.text.endswith(f"({only})"))
    ]


def ordering_rows(
    prefix: str,  # key of a table, such as "psp-1", or of a paper, "psp"
    records: Records,
    *,
    preset: str = "quick",
    data: str | None = None,  # hash or name of the data set; None: any, if all records agree
    selection: str | None = None,  # None: the claim's own
    only: str | None = None,
    extra: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """One dict per direction: claim, source, the paper's gap, ours with its interval, seeds,
    verdict, the gap that an undecided one excludes, and whether the paper's gap lies inside our
    interval."""
    out = []
    for claim in ordering_claims(prefix, only):
        result = _judge(claim, records, preset, data, selection, extra or {})
        gap = result.gap
        out.append(
            {
                "claim": claim.text,
                "source": claim.source,
                "paper": claim.paper_gap,
                "ours": gap.mean if gap else None,
                "low": gap.low if gap else None,
                "high": gap.high if gap else None,
                "seeds": gap.n if gap else 0,
                "verdict": result.verdict,
                "excludes": result.excludes,
                "paper_gap_inside": result.holds(claim.paper_gap),
            }
        )
    return out


def undecided_claims(
    claims: Iterable[OrderingClaim],
    records: Records,
    first: int,  # number of seeds considered, from 0
    *,
    preset: str = "quick",
    data: str | None = None,  # as in `ordering_rows`
    extra: dict[str, Any] | None = None,
) -> list[OrderingClaim]:
    """The directions that their first seeds leave undecided.

    Records of later seeds are ignored even if they exist: after an interruption the same directions
    are found again, and none is dropped because it was decided in between."""
    return [
        claim
        for claim in claims
        if _judge(claim, records, preset, data, None, extra or {}, first).verdict == "undecided"
    ]


def _judge(
    claim: OrderingClaim,
    records: Records,
    preset: str,
    data: str | None,
    selection: str | None,  # None: the claim's own
    extra: dict[str, Any],
    first: int | None = None,  # only this many seeds, from 0
) -> Comparison:
    from avbook.experiments.recipes import RECIPES

    if claim.better[0] not in RECIPES or claim.worse[0] not in RECIPES:
        return Comparison(None, "not run")
    better, worse = (
        [
            record
            for record in records.of(recipe, {**options, **extra}, preset=preset, data=data)
            if first is None or record["seed"] < first
        ]
        for recipe, options in (claim.better, claim.worse)
    )
    return compare(better, worse, claim.metric, selection or claim.selection)
