"""The figures of the demo: drawn in the book's style, whatever the settings in force."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from avbook.show.demo import streams_figure


def test_the_legend_of_a_clip_covers_no_label():
    before = dict(plt.rcParams)
    rows = {"truth": np.array([0, 0, 1, 2]), "PSP": np.array([0, 1, 1, 2])}
    frames, patches = np.zeros((4, 8, 8, 3), np.uint8), np.zeros((4, 96, 64), np.float32)
    figure = streams_figure(frames, patches, rows, ("dog", "cat"), 4)
    assert dict(plt.rcParams) == before
    figure.canvas.draw()
    (legend,) = figure.legends
    box, below = legend.get_window_extent(), figure.axes[-1].xaxis.get_label().get_window_extent()
    assert box.y1 < below.y0, "the legend stands below the label of the time axis"
