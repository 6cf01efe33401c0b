"""The five lines that open a results page, and reasons for disagreements, from run records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from avbook.errors import AvbookError
from avbook.experiments.tables import gap_text

__all__ = ["summarise_page", "explain_disagreements"]

_ORDER = ("agrees", "disagrees", "undecided", "not run")


def summarise_page(
    rows: list[dict[str, Any]],  # from `ordering_rows`: the directions of a paper
    *,
    question: str,  # question of the page
    caveat: str,  # limitation of the answer
    next: str,  # what to read next, with a link
    # rows among which the best evidence is sought; None: all
    evidence: list[dict[str, Any]] | None = None,
) -> str:
    """Markdown of five lines: question, answer, best evidence, caveat, where next.

    The answer counts the verdicts, and the undecided directions whose interval excludes the paper's
    gap. The best evidence is the decided direction with the largest gap relative to the width of
    its interval; if none is decided, the line says so. Raises `AvbookError` without a direction."""
    if not rows:
        raise AvbookError("no direction to summarise: expected the rows of a paper's claims")
    lines = {
        "Question": question,
        "Answer": _answer(rows),
        "Best evidence": _best(rows if evidence is None else evidence),
        "Caveat": caveat,
        "Where next": next,
    }
    return "\n".join(f"- **{name}.** {text}" for name, text in lines.items())


def _answer(rows):
    counts = Counter(row["verdict"] for row in rows)
    parts = [
        f"{counts[verdict]} {_VERBS[verdict][counts[verdict] > 1]}"
        for verdict in _ORDER
        if counts[verdict]
    ]
    seeds = sorted({row["seeds"] for row in rows if row["seeds"]})
    over = ""
    if seeds:
        span = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        over = f", over {span} seed{'s' * (seeds[-1] > 1)}"
    joined = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"Of {len(rows)} directions that the paper states, {joined}{over}.{_excluded(rows)}"


def _excluded(rows):
    """A sentence on the undecided rows whose interval excludes the paper's gap."""
    inside = [
        row["paper_gap_inside"]
        for row in rows
        if row["verdict"] == "undecided" and row["paper_gap_inside"] is not None
    ]
    if not inside:
        return ""
    return (
        f" The paper prints a difference for {len(inside)} of the undecided directions; our"
        f" interval excludes {inside.count(False)} of these differences."
    )


_VERBS = {
    "agrees": ("agrees with ours", "agree with ours"),
    "disagrees": ("disagrees", "disagree"),
    "undecided": ("is undecided", "are undecided"),
    "not run": ("was not run", "were not run"),
}  # singular, plural


def _best(rows):
    decided = [row for row in rows if row["verdict"] in ("agrees", "disagrees")]
    if not decided:
        return "No direction is decided."
    best = max(decided, key=lambda row: abs(row["ours"]) / max(row["high"] - row["low"], 1e-9))
    claim = best["claim"][:1].upper() + best["claim"][1:]
    text = f"{claim}: {gap_text(best)} points over {best['seeds']} seeds"
    if best["paper"] is not None:
        text += f" (the paper: {best['paper']:+.1f})"
    return f"{text}; it {best['verdict']}."


def explain_disagreements(
    rows: list[dict[str, Any]],  # from `ordering_rows`
    reasons: Mapping[str, str],  # claim of a direction -> reason for the disagreement
) -> str:
    """Markdown with one item per direction that disagrees: its gap, and the reason or that none is
    known; a sentence if none disagrees.

    Raises `AvbookError` for a reason whose claim is not among the rows."""
    claims = [row["claim"] for row in rows]
    for claim in reasons:
        if claim not in claims:
            raise AvbookError(
                f"a reason for {claim!r}, which no row claims; expected one of theirs"
            )
    found = [row for row in rows if row["verdict"] == "disagrees"]
    if not found:
        return "No direction disagrees."
    lines = []
    for row in found:
        why = reasons.get(row["claim"], "We do not know why.")
        lines.append(f"- *{row['claim']}*: {gap_text(row)} points. {why}")
    return "\n".join(lines)
