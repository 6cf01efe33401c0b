"""The style of all figures: palette, markers, colour maps, letter size, and the width of a page."""

from __future__ import annotations

import sys
from functools import wraps
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patheffects import withStroke
from matplotlib.rcsetup import cycler

__all__ = [
    "PALETTE",
    "DASHES",
    "MARKERS",
    "HATCHES",
    "GREY",
    "SHARES",
    "SIGNED",
    "HALO",
    "HEAT",
    "LOUD",
    "WIDTH",
    "STYLE",
    "style",
    "styled",
    "array",
    "axes",
]

PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#000000",
)  # Okabe and Ito
DASHES = (
    "-",
    "--",
    "-.",
    ":",
    (0, (5, 1, 1, 1, 1, 1)),
    (0, (1, 1)),
    (0, (8, 2)),
    (0, (3, 1)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
HATCHES = ("", "//", "..", "xx")  # the second, third and fourth time round the palette
GREY = "#D9D9D9"  # background segments, and what is not the point of a figure
SHARES = LinearSegmentedColormap.from_list(
    "shares", ["white", "#8CC4E3", "#0072B2", "#00263D"]
)  # from zero upwards
SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#3D1A5B", "#9C7BB8", "white", "#E69F00", "#5C3A00"]
)  # on both sides of zero
HALO = [withStroke(linewidth=3, foreground="white")]  # around words that a line may cross
HEAT = "inferno"  # laid over a frame
LOUD = "magma_r"  # spectrograms
WIDTH = 7.0  # inches: every figure is as wide as the column of text, so letters are alike
STYLE: dict[str, Any] = {
    "figure.figsize": (WIDTH, 3.4),
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "savefig.dpi": 160,
    "axes.facecolor": "white",
    "axes.edgecolor": "#444444",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "axes.axisbelow": True,
    "font.size": 10.5,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "legend.fontsize": 10.5,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "image.interpolation": "nearest",
    "image.cmap": "Blues",
    "axes.prop_cycle": cycler(color=PALETTE),
}


def style() -> tuple[str, ...]:
    """Makes the book's style the default of all figures that follow, and returns the palette; call
    it once, at the top of a page. In Jupyter a figure then keeps the size it was given, instead of
    being cropped to its content, so that letters have one size over the whole book."""
    plt.rcParams.update(STYLE)
    if "ipykernel" in sys.modules:
        from matplotlib_inline.config import InlineBackend

        options: dict[str, Any] = {"bbox_inches": None}
        InlineBackend.instance().print_figure_kwargs = options
    return PALETTE


def styled(function):
    """Decorates a plot function: it draws with the book's style, and the settings in force before
    are restored afterwards."""

    @wraps(function)
    def drawing(*args, **kwargs):
        # not rc_context: around a session's first figure it would switch interactive drawing off
        # again
        before = {name: plt.rcParams[name] for name in STYLE}
        plt.rcParams.update(STYLE)
        try:
            return function(*args, **kwargs)
        finally:
            plt.rcParams.update(before)

    return drawing


def array(value) -> np.ndarray:
    """`value` as a NumPy array: tensors are detached and brought to the CPU first."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    return np.asarray(value)


def axes(ax, width: float = WIDTH, height: float = 3.4):
    """`ax`, or the axes of a new figure of that size in inches."""
    return plt.subplots(figsize=(width, height))[1] if ax is None else ax
