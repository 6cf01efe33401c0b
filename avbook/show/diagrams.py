"""Drawings of whole networks: boxes with shapes, and arrows between them, in the book's style.

```python
net = Diagram("AVEL")
net.box("v", 0, 0, "visual features", "(B, T, 512)", kind="input")
net.box("lstm", 1, 0, "Bi-LSTM", "(B, T, 256)")
net.arrow("v", "lstm")
net.draw()
```
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from avbook.errors import AvbookError
from avbook.show.plots import WIDTH, styled

__all__ = ["Diagram", "KINDS"]

# fill and edge of a box: what comes in, what is learned, what is only computed, what is minimised,
# what goes out
KINDS = {
    "input": ("#EFEFEF", "#666666"),
    "layer": ("#D6E8F5", "#0072B2"),
    "operation": ("#FFFFFF", "#444444"),
    "loss": ("#FBE3D6", "#D55E00"),
    "output": ("#D5EFE6", "#009E73"),
}
ROW = 0.74  # inches from a row to the next
HIGH = 0.48  # of them a box
GAP = 0.16  # inches between the boxes of a row
LETTERS = 9.5  # points


@dataclass(frozen=True)
class Box:
    """A box of a diagram; places and sizes in inches from the upper left corner."""

    x: float  # centre of the box
    y: float
    width: float
    text: str
    kind: str


@dataclass(frozen=True)
class Arrow:
    """An arrow from a box to another."""

    start: str
    end: str
    label: str | None
    dashed: bool
    sideways: bool


class Diagram:
    """A network as boxes on a grid, drawn from top to bottom.

    Rows count downwards from 0; both rows and columns may lie between two (0.5). Raises
    `AvbookError` for a kind or a box that does not exist."""

    def __init__(
        self,
        title: str | None = None,  # above the drawing
        columns: int = 2,  # of the grid; they share the width of a page
    ):
        self.title, self.columns = title, columns
        self.boxes: dict[str, Box] = {}
        self.arrows: list[Arrow] = []
        self.notes: list[tuple[float, float, str]] = []

    def box(
        self,
        key: str,  # name used by arrows
        row: float,  # from the top, from 0
        column: float,  # from the left, from 0; centre of a box wider than one column
        text: str,  # a word or two; `$…$` is mathematics
        shape: str | None = None,  # shape of its output, such as "(B, T, 256)"
        kind: str = "layer",  # a key of `KINDS`
        wide: float = 1.0,  # width in columns
    ) -> Diagram:
        """Adds a box; returns the diagram."""
        if kind not in KINDS:
            raise AvbookError(
                f"box {key!r} of a diagram has kind={kind!r}: expected one of {', '.join(KINDS)}"
            )
        pitch = WIDTH / self.columns
        text = f"{text}\n{shape}" if shape else text
        self.boxes[key] = Box(
            (column + 0.5) * pitch, row * ROW + HIGH / 2, wide * pitch - GAP, text, kind
        )
        return self

    def arrow(
        self,
        start: str | Sequence[str],  # a box, or several
        end: str,  # its target box
        label: str | None = None,  # a word beside it
        dashed: bool = False,  # used in training only, or without a gradient
        sideways: bool = False,  # from side to side instead of from bottom to top
    ) -> Diagram:
        """Adds an arrow, or one from each of several boxes; returns the diagram."""
        for key in (start,) if isinstance(start, str) else start:
            for name in (key, end):
                if name not in self.boxes:
                    raise AvbookError(
                        f"an arrow of a diagram names {name!r}: expected one of its boxes,"
                        f" {', '.join(self.boxes)}"
                    )
            self.arrows.append(Arrow(key, end, label, dashed, sideways))
        return self

    def note(self, row: float, column: float, text: str) -> Diagram:
        """Adds words without a box; returns the diagram."""
        self.notes.append(((column + 0.5) * WIDTH / self.columns, row * ROW + HIGH / 2, text))
        return self

    @styled
    def draw(self) -> Figure:
        """The figure, as wide as a page's column; its height follows from the rows."""
        above = 0.34 if self.title else 0.06
        height = max(box.y for box in self.boxes.values()) + HIGH / 2 + above + 0.06
        figure = plt.figure(figsize=(WIDTH, height), layout="none")
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, WIDTH), ylim=(height - above, -above))
        ax.axis("off")
        if self.title:
            ax.text(GAP / 2, -above / 2, self.title, va="center", fontweight="bold")
        for arrow in self.arrows:
            self._draw_arrow(ax, arrow)
        for box in self.boxes.values():
            fill, edge = KINDS[box.kind]
            ax.add_patch(
                FancyBboxPatch(
                    (box.x - box.width / 2, box.y - HIGH / 2),
                    box.width,
                    HIGH,
                    boxstyle="round,pad=0,rounding_size=0.06",
                    facecolor=fill,
                    edgecolor=edge,
                    linewidth=1.3,
                    zorder=2,
                )
            )
            ax.text(
                box.x,
                box.y,
                box.text,
                ha="center",
                va="center",
                fontsize=LETTERS,
                linespacing=1.25,
                zorder=3,
            )
        for x, y, text in self.notes:
            ax.text(x, y, text, ha="center", va="center", fontsize=LETTERS, color="#444444")
        return figure

    def _draw_arrow(self, ax, arrow: Arrow) -> None:
        start, end = self.boxes[arrow.start], self.boxes[arrow.end]
        if arrow.sideways:
            right = 1 if end.x > start.x else -1
            tail = (start.x + right * start.width / 2, start.y)
            head = (end.x - right * end.width / 2, end.y)
        else:
            down = 1 if end.y > start.y else -1
            tail = (_beside(start, end), start.y + down * HIGH / 2)
            head = (_beside(end, start), end.y - down * HIGH / 2)
        ax.annotate(
            "",
            head,
            tail,
            arrowprops={
                "arrowstyle": "-|>,head_width=0.22,head_length=0.45",
                "color": "#444444",
                "linewidth": 1.3,
                "linestyle": "--" if arrow.dashed else "-",
                "shrinkA": 0,
                "shrinkB": 0,
            },
            zorder=1,
        )
        if arrow.label:
            ax.text(
                (tail[0] + head[0]) / 2,
                (tail[1] + head[1]) / 2,
                arrow.label,
                ha="center",
                va="center",
                fontsize=LETTERS,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                zorder=1.5,
            )


def _beside(box: Box, other: Box) -> float:
    """Where an arrow meets a box: as near to the other box's middle as the box reaches, less a
    margin, so that arrows into a wide box stay straight."""
    margin = min(0.3, box.width / 3)
    low, high = box.x - box.width / 2 + margin, box.x + box.width / 2 - margin
    if box.width <= other.width:
        return box.x
    return min(max(other.x, low), high)
