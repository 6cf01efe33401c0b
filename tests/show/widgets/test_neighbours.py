"""The neighbours' drawing and its slider: who is drawn is who the sets name, in their order, and no
kernel is needed."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from torch.nn import functional as F

matplotlib.use("Agg")

from avbook.errors import AvbookError
from avbook.show.widgets.neighbours import (
    clip_frames,
    draw_neighbours,
    event_middles,
    neighbours_explorer,
)
from avbook.unsupervised.neighbours import contrastive_sets, unit_rows

NAMES = ("dog, puppy", "cat", "train")


class Split:
    def __init__(self, n=15, seconds=10):
        classes = torch.arange(n)[:, None].remainder(3).expand(n, seconds).clone()
        classes[:, 6:] = 3  # background at the end
        classes[4] = 3
        self.labels, self.rows = F.one_hot(classes, 4).float().numpy(), np.arange(n)

    def __len__(self):
        return len(self.labels)


class Data:
    kind, categories = "folder", NAMES

    def __init__(self):
        self.train = self.test = Split()


FEATURES = torch.randn(15, 4, generator=torch.Generator().manual_seed(0))


def captions(figure):
    return [ax.get_xlabel() for ax in figure.axes if ax.get_xlabel()]


def test_a_frame_comes_from_the_middle_of_the_event():
    middles = event_middles(Split())
    assert (
        middles[0] == 3 and middles[4] == 5
    )  # of seconds 0 to 5; of a clip without an event, of all ten


def test_the_drawing_shows_the_sets_in_their_order():
    figure = draw_neighbours(Data(), Split(), FEATURES, 2, k=4)
    sets, unit = contrastive_sets(FEATURES, 4), unit_rows(FEATURES)
    expected = [
        f"clip {j}\n{float(unit[2] @ unit[j]):+.2f}"
        for j in [*sets.affinity[2].tolist(), *sets.repulsion[2].tolist()]
    ]
    assert captions(figure) == ["clip 2", *expected]
    near = sum(j % 3 == 2 and j != 4 for j in sets.affinity[2].tolist())
    far = sum(j % 3 == 2 and j != 4 for j in sets.repulsion[2].tolist())
    assert (
        figure.get_suptitle()
        == f"K = 4: {near} of the nearest and {far} of the farthest have the clip's category"
    )


def test_the_border_tells_the_category():
    figure = draw_neighbours(Data(), Split(), FEATURES, 2, k=14)  # all others on both sides
    sets = contrastive_sets(FEATURES, 14)
    shown = [2, *sets.affinity[2].tolist(), *sets.repulsion[2].tolist()]
    kinds = Split().labels[..., :-1].sum(1).argmax(1)
    axes = [ax for ax in figure.axes if ax.get_xlabel()]
    assert [ax.spines["left"].get_linewidth() > 2 for ax in axes] == [
        kinds[j] == kinds[2] for j in shown
    ]


def test_sets_found_before_are_used_and_a_smaller_k_is_their_beginning():
    sets = contrastive_sets(FEATURES, 10)
    assert captions(draw_neighbours(Data(), Split(), FEATURES, 1, 3, sets)) == captions(
        draw_neighbours(Data(), Split(), FEATURES, 1, 3)
    )


def test_clips_of_a_world_have_frames_and_others_none():
    assert clip_frames(Data(), Split(), [0, 1]) == [None, None]
    from avbook.data.ave import AVE
    from avbook.world.build import open_clip, world_folder
    from avbook.world.video import render_at

    data = AVE(world_folder("ave", "tiny"))
    row = 1
    found = clip_frames(data, data.train, [row], size=32)[0]
    moment = event_middles(data.train)[row] + 0.5
    np.testing.assert_array_equal(
        found, render_at(open_clip(data.folder, int(data.train.rows[row])), [moment], size=32)[0]
    )


def test_bad_input():
    with pytest.raises(AvbookError, match="row=15 of 15 feature vectors and 15 clips"):
        draw_neighbours(Data(), Split(), FEATURES, 15)
    with pytest.raises(AvbookError, match="row=0 of 14 feature vectors and 15 clips"):
        draw_neighbours(Data(), Split(), FEATURES[:14], 0)
    with pytest.raises(AvbookError, match="k=4: expected 1 to 3"):
        draw_neighbours(Data(), Split(), FEATURES, 0, 4, contrastive_sets(FEATURES, 3))
    with pytest.raises(AvbookError, match=r"clips=\[99\]"):
        neighbours_explorer(Data(), FEATURES, clips=[99])


def test_the_explorer_redraws_on_either_control():
    widgets = pytest.importorskip("ipywidgets")
    box = neighbours_explorer(Data(), FEATURES, most=6)
    (clip, slider), picture = box.children[0].children, box.children[1]
    assert (
        isinstance(slider, widgets.IntSlider)
        and (slider.min, slider.max) == (1, 6)
        and bytes(picture.value).startswith(b"\x89PNG")
    )
    assert [row for _, row in clip.options] == [0, 1, 2]  # the first of each category
    first = bytes(picture.value)
    slider.value = 6
    second = bytes(picture.value)
    clip.value = 1
    assert len({first, second, bytes(picture.value)}) == 3
    slider.value, clip.value = 3, 0
    assert bytes(picture.value) == first


def test_only_the_explorer_needs_ipywidgets(monkeypatch):
    asked = "import sys, avbook.show.widgets.neighbours; print('ipywidgets' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", asked], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "False"
    )
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(AvbookError, match="ipywidgets is not installed"):
        neighbours_explorer(Data(), FEATURES)
