"""Every figure can be drawn, in the style, from arrays and tensors alike; nothing of the reader's
settings is left changed."""

import io
import itertools
import subprocess
import sys
import warnings

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from avbook.data.events import AVE_CATEGORIES, Event
from avbook.errors import AvbookError
from avbook.show import plots

rng = np.random.default_rng(0)
film = rng.integers(0, 255, (40, 24, 32, 3), dtype=np.uint8)
event = np.arange(10) > 6
attention = rng.dirichlet(np.ones(49), 10)
history = [{"loss": {"ce": 1 / (e + 1)}, "val": 50.0 + e} for e in range(5)]

CALLS = {
    "timeline_bars": lambda: plots.timeline_bars(
        {"truth": np.array([2, 0, 0, 1, 2]), "p": rng.random(5), "mask": [True] * 5},
        names=["a", "b"],
        title="t",
    ),
    "timeline_bars events": lambda: plots.timeline_bars(
        {"heard": [Event("Dog", 0, 3)], "seen": [], "both": np.eye(10)[:, :2]}, names=["Cat", "Dog"]
    ),
    "timeline_bars twelve classes": lambda: plots.timeline_bars(
        {"x": np.eye(12)}, names=[f"c{i}" for i in range(12)]
    ),
    "frames_strip": lambda: plots.frames_strip(film, seconds=10, event=event, title="t"),
    "frames_strip 3": lambda: plots.frames_strip(film[:3], labels=["a", "b", "c"]),
    "attention_over_frames": lambda: plots.attention_over_frames(
        film, attention, seconds=10, event=event, title="t"
    ),
    "attention_over_frames 2d": lambda: plots.attention_over_frames(
        film[:7], rng.random((7, 3, 4))
    ),
    "similarity_map": lambda: plots.similarity_map(
        attention[:, :10], threshold=0.02, event=event, title="t"
    ),
    "similarity_map signed": lambda: plots.similarity_map(rng.normal(size=(4, 5)), limits=(-1, 1)),
    "similarity_map zeros": lambda: plots.similarity_map(np.zeros((3, 3))),
    "confusion": lambda: plots.confusion(rng.integers(0, 9, (3, 3)), ["a", "b", "c"], title="t"),
    "confusion 29": lambda: plots.confusion(
        np.eye(29), [*AVE_CATEGORIES, "background"], normalise=False
    ),
    "curves": lambda: plots.curves(
        history, y="loss", marks={"selected": 3}, names={"val": "validation"}, title="t"
    ),
    "curves seeds": lambda: plots.curves(
        {"n": [1, 2, 4], "a": rng.random((3, 3)), "b": [1, 2, 3]}, x="n", log=True
    ),
    "intervals": lambda: plots.intervals(
        {"a": (1, 0, 2), "b": (3, 1, 5)}, x="%", zero=True, title="t"
    ),
    "tsne_scatter": lambda: plots.tsne_scatter(
        rng.normal(size=(30, 5)), np.arange(30) % 3, ["a", "b", "c"], title="t"
    ),
    "tsne_scatter 2d": lambda: plots.tsne_scatter(
        rng.normal(size=(56, 2)), np.arange(56) % 28, AVE_CATEGORIES, limit=40
    ),
    "spectrogram": lambda: plots.spectrogram(rng.normal(size=(3, 96, 64)), title="t"),
    "spectrogram frames": lambda: plots.spectrogram(rng.normal(size=(250, 64))),
    "waveform": lambda: plots.waveform(np.sin(np.arange(16123) / 9), title="t"),
}


@pytest.mark.parametrize("name", CALLS)
def test_draws_readable_on_white_without_a_warning(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = CALLS[name]()
        figure = drawn if isinstance(drawn, Figure) else drawn.figure
        assert isinstance(drawn, (Figure, Axes))
        figure.savefig(io.BytesIO(), format="png")
    assert figure.get_facecolor() == (1, 1, 1, 1)
    assert figure.get_figwidth() == plots.WIDTH
    sizes = [
        text.get_fontsize()
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip()
    ]
    assert min(sizes) >= (6 if "29" in name or "2d" in name else 8), (
        sizes
    )  # points, shown as they are


@pytest.mark.parametrize(
    "name", [name for name in CALLS if "frames" not in name or "spectrogram" in name]
)
def test_draws_on_given_axes(name):
    call = {
        "timeline_bars": lambda ax: plots.timeline_bars({"a": [True, False]}, ax=ax),
        "similarity_map": lambda ax: plots.similarity_map(np.eye(3), ax=ax),
        "confusion": lambda ax: plots.confusion(np.eye(2), ["a", "b"], ax=ax),
        "curves": lambda ax: plots.curves(history, ax=ax),
        "intervals": lambda ax: plots.intervals({"a": (1, 0, 2)}, ax=ax),
        "tsne_scatter": lambda ax: plots.tsne_scatter(np.ones((4, 2)), np.zeros(4), ax=ax),
        "spectrogram": lambda ax: plots.spectrogram(np.zeros((2, 96, 64)), ax=ax),
        "waveform": lambda ax: plots.waveform(np.zeros(800), ax=ax),
    }[name.split()[0]]
    _, ax = plt.subplots()
    count = len(plt.get_fignums())
    assert call(ax) is ax and len(plt.get_fignums()) == count


def test_words_that_a_line_may_cross_have_a_halo_and_zero_has_no_sign():
    ax = plots.intervals({"a": (-0.04, -1, 1), "b": (-1.96, -3, -1)}, zero=True)
    mark = plots.curves(history, keys=["val"], marks={"selected": 3}).texts[0]
    assert [text.get_text() for text in ax.texts] == [
        "0.0",
        "-2.0",
    ] and mark.get_text() == "selected"
    assert all(text.get_path_effects() == plots.HALO for text in (*ax.texts, mark))


def test_tensors_are_taken_too():
    plots.timeline_bars(
        {"truth": torch.tensor([1, 0, 0]), "p": torch.rand(3, requires_grad=True)}, names=["a"]
    )
    plots.attention_over_frames(film[:2], torch.rand(2, 49, dtype=torch.bfloat16))
    plots.similarity_map(torch.rand(4, 4, requires_grad=True))
    plots.tsne_scatter(torch.rand(9, 2), torch.arange(9))
    plots.curves({"a": torch.rand(5)})


def test_settings_of_the_reader_come_back():
    before = dict(plt.rcParams)
    plt.rcParams["font.size"] = 33.0
    with pytest.raises(AvbookError):
        plots.waveform(np.zeros((2, 2)))
    ax = plots.waveform(np.zeros(1600), title="t")
    assert plt.rcParams["font.size"] == 33 and ax.xaxis.label.get_fontsize() < 20
    plt.rcParams["font.size"] = before["font.size"]
    assert dict(plt.rcParams) == before


def test_interactive_drawing_stays_on():
    """A notebook's backend switches it on at the first figure; restoring all settings afterwards
    would switch it off for good."""
    code = (
        "import matplotlib, numpy as np; matplotlib.use('agg'); import matplotlib.pyplot as plt;"
        " from avbook.show import plots\nreal = plt.subplots\ndef first(*a, **k): plt.ion(); return"
        " real(*a, **k)\nplt.subplots = first; plots.waveform(np.zeros(1600)); assert"
        " matplotlib.is_interactive()"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_what_the_bars_say():
    ax = plots.timeline_bars(
        {"truth": np.array([2, 0, 0, 2]), "answer": np.array([1, 1, 0, 2])}, names=["Bark", "Goat"]
    )
    colour = {
        text.get_text(): patch.get_facecolor()
        for text, patch in zip(ax.get_legend().get_texts(), ax.get_legend().get_patches())
    }
    bars = [
        (container.patches[0].get_facecolor(), [round(bar.get_height(), 2) for bar in container])
        for container in ax.containers
    ]
    assert bars == [
        (colour["Bark"], [0, 0.76, 0.76, 0]),
        (colour["Goat"], [0.76, 0.76, 0, 0]),
        (colour["Bark"], [0, 0, 0.76, 0]),
    ]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["truth", "answer"]


def test_uniform_attention_is_one_on_every_frame():
    figure = plots.attention_over_frames(film[:3], np.full((3, 49), 1 / 49))
    images = [ax.images[1].get_array() for ax in figure.axes[:3]]
    assert all(np.allclose(image, 1) for image in images)
    assert {ax.images[1].get_clim() for ax in figure.axes[:3]} == {(0.0, 2.0)}


def test_pruned_entries_are_the_crossed_ones():
    matrix = np.array([[0.0, 0.2], [0.095, 0.1]])
    ax = plots.similarity_map(matrix, threshold=0.095)
    assert sorted(map(tuple, ax.collections[0].get_offsets().tolist())) == [
        (0, 0),
        (0, 1),
    ]  # (column, row): entries at the threshold are cut


def test_history_is_flattened_and_gaps_are_gaps():
    table = plots.history_table(
        [{"a": 1, "loss": {"x": 2.0}}, {"loss": {"x": 3.0, "y": 4}, "note": "text", "best": True}]
    )
    assert list(table) == ["a", "loss.x", "loss.y"]
    assert (
        table["loss.x"].tolist() == [2, 3]
        and np.isnan(table["a"][1])
        and np.isnan(table["loss.y"][0])
    )


def test_the_middle_frame_of_each_second():
    numbered = np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1).repeat(3, -1)
    assert plots.one_a_second(numbered, 2)[:, 0, 0, 0].tolist() == [2, 6]
    assert len(plots.one_a_second(numbered)) == 8


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: plots.timeline_bars({"x": np.array([28, 3])}), "class indices need names="),
        (lambda: plots.timeline_bars({"x": np.array([0.1, np.nan])}), "outside 0..1"),
        (lambda: plots.timeline_bars({"x": np.zeros((2, 2, 2))}), "shape (2, 2, 2)"),
        (lambda: plots.frames_strip(film, seconds=7), "do not divide into 7 s"),
        (lambda: plots.frames_strip(film[0]), "expected (frames, height, width, 3)"),
        (lambda: plots.attention_over_frames(film[:2], np.ones((2, 50))), "not a square grid"),
        (lambda: plots.attention_over_frames(film[:2], np.ones((3, 49))), "does not fit 2 frames"),
        (lambda: plots.similarity_map(np.zeros(3)), "expected one matrix"),
        (lambda: plots.confusion(np.eye(3), ["a"]), "1 names"),
        (lambda: plots.curves(history, ["accuracy"]), "asked for 'accuracy'"),
        (lambda: plots.tsne_scatter(np.ones((3, 2)), np.ones(4)), "expected (N, D) and (N,)"),
        (lambda: plots.spectrogram(np.zeros(3)), "spectrogram() got shape (3,)"),
        (lambda: plots.waveform(np.zeros((2, 3))), "one channel"),
    ],
)
def test_bad_input_is_one_clear_line(call, words):
    with pytest.raises(AvbookError) as error:
        call()
    assert words in str(error.value) and "\n" not in str(error.value)


def test_nothing_else_imports_it():
    code = (
        "import sys, avbook, avbook.data.events, avbook.metrics.ave, avbook.cli;"
        " sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_captions_of_neighbouring_frames_do_not_meet():
    figure = plots.frames_strip([film[0]] * 6, labels=["Female speaking"] * 6, columns=6)
    figure.draw_without_rendering()
    boxes = [ax.xaxis.label.get_window_extent() for ax in figure.axes]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    sizes = [ax.xaxis.label.get_fontsize() for ax in figure.axes]
    assert len(set(sizes)) == 1 and 8 <= sizes[0] < plots.STYLE["axes.labelsize"]
    short = plots.frames_strip([film[0]] * 6, labels=["a"] * 6, columns=6)
    assert short.axes[0].xaxis.label.get_fontsize() == plots.STYLE["axes.labelsize"]
