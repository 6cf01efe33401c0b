"""Drawings of networks: every box and arrow is drawn, as wide as a page; wrong names raise."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Annotation

from avbook.errors import AvbookError
from avbook.show.diagrams import HIGH, KINDS, ROW, Diagram
from avbook.show.style import WIDTH


@pytest.fixture
def network():
    net = Diagram("a network")
    net.box("v", 0, 0, "visual", "(B, T, 512)", kind="input").box("a", 0, 1, "audio", kind="input")
    net.box("both", 1, 0.5, "fusion", "(B, T, 256)", wide=2).box("loss", 2, 1, "BCE", kind="loss")
    net.arrow(["v", "a"], "both").arrow("both", "loss", label="scores", dashed=True)
    return net.note(2, 0, "in training")


def arrows(ax):
    """The tail and the head of each arrow."""
    return [(text.xyann, text.xy) for text in ax.texts if isinstance(text, Annotation)]


def test_every_box_arrow_and_word_is_drawn(network):
    figure = network.draw()
    ax = figure.axes[0]
    said = [text.get_text() for text in ax.texts]
    for text in ("a network", "visual\n(B, T, 512)", "audio", "fusion\n(B, T, 256)", "BCE"):
        assert said.count(text) == 1
    assert "scores" in said and "in training" in said and len(arrows(ax)) == 3
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    fills = [KINDS[kind][0].lower() for kind in ("input", "input", "layer", "loss")]
    assert [to_hex(box.get_facecolor()) for box in boxes] == fills
    plt.close(figure)


def test_it_is_as_wide_as_a_page_and_as_high_as_its_rows(network):
    tall = Diagram().box("x", 5, 0, "x").draw()
    figure = network.draw()
    assert figure.get_figwidth() == tall.get_figwidth() == WIDTH
    assert tall.get_figheight() == pytest.approx(5 * ROW + HIGH + 0.12)
    ax = figure.axes[0]
    for box in ax.patches:
        left, right = box.get_x(), box.get_x() + box.get_width()
        assert 0 <= left < right <= WIDTH
    plt.close("all")


def test_an_arrow_leads_from_edge_to_edge(network):
    figure = network.draw()
    down = arrows(figure.axes[0])
    assert all(tail[1] < head[1] for tail, head in down)  # the y axis points down
    assert down[0][0][1] == pytest.approx(HIGH) and down[0][1][1] == pytest.approx(ROW)
    beside = Diagram().box("l", 0, 0, "l").box("r", 0, 1, "r").arrow("l", "r", sideways=True)
    ((tail, head),) = arrows(beside.draw().axes[0])
    assert tail[1] == head[1] and tail[0] < head[0]
    back = Diagram().box("l", 0, 0, "l").box("r", 0, 1, "r").arrow("r", "l", sideways=True)
    assert arrows(back.draw().axes[0]) == [(head, tail)]
    up = Diagram().box("top", 0, 0, "t").box("below", 1, 0, "b").arrow("below", "top")
    ((tail, head),) = arrows(up.draw().axes[0])
    assert tail[1] == pytest.approx(ROW) and head[1] == pytest.approx(HIGH)
    plt.close("all")


def test_a_wrong_kind_or_box_is_one_clear_line(network):
    with pytest.raises(AvbookError, match="kind='magic': expected one of input, layer"):
        network.box("x", 3, 0, "x", kind="magic")
    with pytest.raises(AvbookError, match="names 'u': expected one of its boxes, v, a, both, loss"):
        network.arrow("v", "u")
