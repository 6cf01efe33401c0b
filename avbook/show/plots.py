"""All plots of the book: timelines, frames, matrices, curves, audio, and their style."""

from avbook.show.audio_plots import mel, spectrogram, waveform
from avbook.show.curve_plots import curves, history_table, intervals, tsne_scatter
from avbook.show.frame_plots import attention_over_frames, frame_grid, frames_strip, one_a_second
from avbook.show.matrix_plots import confusion, similarity_map
from avbook.show.style import (
    DASHES,
    GREY,
    HALO,
    HATCHES,
    HEAT,
    LOUD,
    MARKERS,
    PALETTE,
    SHARES,
    SIGNED,
    STYLE,
    WIDTH,
    array,
    axes,
    style,
    styled,
)
from avbook.show.timeline_plots import timeline_bars, timeline_tracks

__all__ = [
    "DASHES",
    "GREY",
    "HALO",
    "HATCHES",
    "HEAT",
    "LOUD",
    "MARKERS",
    "PALETTE",
    "SHARES",
    "SIGNED",
    "STYLE",
    "WIDTH",
    "array",
    "attention_over_frames",
    "axes",
    "confusion",
    "curves",
    "frame_grid",
    "frames_strip",
    "history_table",
    "intervals",
    "mel",
    "one_a_second",
    "similarity_map",
    "spectrogram",
    "style",
    "styled",
    "timeline_bars",
    "timeline_tracks",
    "tsne_scatter",
    "waveform",
]
