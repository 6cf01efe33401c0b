"""Two main claims of each paper: the method against its baseline, and its central component."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["MAIN_CLAIMS", "main_claims"]

# CMLCL's paper compares it with supervised methods only: two of its components instead
MAIN_CLAIMS = (
    ("psp-4-full-avel", "small"),
    ("psp-1-full-asp", "small"),
    ("ma-1-han-segment_type", "paper's"),
    ("ma-2-r-segment_type", "paper's"),
    ("cmlcl-4-contrast-accuracy", "paper's"),
    ("cmlcl-5-2-accuracy", "small"),
)  # key of the claim, and the settings with which it was tried on the world


def main_claims(
    rows: Iterable[dict[str, Any]],  # of `claim_rows`
) -> list[dict[str, Any]]:
    """The rows of the main claims, in their order, each with its `settings`."""
    found = {(row["key"], row["tried"]): row for row in rows}
    return [
        found[key, f"world, {settings} settings"] | {"settings": settings}
        for key, settings in MAIN_CLAIMS
    ]
