"""The τ explorer: what is drawn is what the network does at that τ, the network is left as it was,
and no kernel is needed."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from made_splits import MadeSplit, ave_clips

matplotlib.use("Agg")

from avbook.errors import AvbookError
from avbook.show.widgets.threshold import (
    clip_at,
    cutting_at,
    draw_tau,
    draw_taus,
    png_bytes,
    rows_offered,
    tau_explorer,
)
from avbook.supervised.psp import PSP

SMALL = dict(
    audio_dim=6,
    visual_dim=5,
    positions=4,
    categories=3,
    attention_dim=8,
    bottleneck=7,
    width=6,
    hidden=3,
    head=8,
)
NAMES = ("dog", "cat", "train")


class Data:
    kind, categories = "folder", NAMES

    def __init__(self):
        self.test = MadeSplit(ave_clips())


@pytest.fixture
def net():
    torch.manual_seed(0)
    return PSP(**SMALL).train()


def test_a_clip_is_what_the_network_gives_at_that_threshold(net):
    batch = ave_clips()
    seen = {}
    for tau in (0.0, 0.095, 0.2):
        net.eval().propagation.tau = tau
        with torch.inference_mode():
            out = net({name: batch[name][4:5] for name in ("audio", "visual")})
        net.propagation.tau = 0.5
        found = seen[tau] = clip_at(net, batch, tau, row=4)
        np.testing.assert_array_equal(found["gamma_va"], out["gamma_va"][0])
        np.testing.assert_array_equal(found["predicted"], out["scores"][0].argmax(-1))
        np.testing.assert_array_equal(found["truth"], batch["labels"][4].argmax(-1))
    assert (seen[0.0]["gamma_va"] > 0).sum() > (seen[0.2]["gamma_va"] > 0).sum()


def test_the_network_is_left_as_it_was_even_after_an_error(net):
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    draw_tau(net, ave_clips(), 0.2, NAMES)
    assert net.propagation.tau == 0.095 and net.training
    with pytest.raises(RuntimeError), cutting_at(net, 0.2):
        raise RuntimeError
    assert net.propagation.tau == 0.095 and net.training
    net.eval()
    draw_taus(net, ave_clips(), (0.0, 0.2), NAMES)
    assert not net.training and all(
        torch.equal(weights[name], value) for name, value in net.state_dict().items()
    )


def test_the_titles_count_what_the_maps_show(net):
    batch = ave_clips()
    clip = clip_at(net, batch, 0.095)
    figure = draw_tau(net, batch, 0.095, NAMES)
    kept, lost = (clip["gamma_va"] > 0).sum(), (clip["gamma_va"].sum(-1) == 0).sum()
    assert (
        figure.get_suptitle()
        == f"τ = 0.095: {kept} of 100 pairs kept, {lost} segments without any;"
        f" {(clip['predicted'] == clip['truth']).sum()} of 10 segments correct"
    )
    left, right = (ax for ax in figure.axes if ax.images and ax.get_title(loc="left"))
    np.testing.assert_array_equal(left.images[0].get_array(), clip["beta_va"])
    np.testing.assert_array_equal(right.images[0].get_array(), clip["gamma_va"])
    crosses = max((c.get_offsets() for c in left.collections), key=len)
    assert len(crosses) == (clip["beta_va"] <= 0.095).sum() > 0


def test_frames_stand_above_and_have_to_fit(net):
    frames = np.zeros((10, 8, 8, 3), np.uint8)
    assert (
        len(draw_tau(net, ave_clips(), 0.1, NAMES, frames=frames).axes)
        == len(draw_tau(net, ave_clips(), 0.1, NAMES).axes) + 10
    )
    with pytest.raises(AvbookError, match="4 frames for a clip of 10 s"):
        draw_tau(net, ave_clips(), 0.1, NAMES, frames=frames[:4])


def test_several_settings_get_a_map_each(net):
    figure = draw_taus(net, ave_clips(), (0.0, 0.1, 0.2), NAMES, row=1)
    maps = [ax for ax in figure.axes if ax.images and ax.get_title(loc="left")]
    assert [ax.get_title(loc="left").split(":")[0] for ax in maps] == [
        "τ = 0",
        "τ = 0.1",
        "τ = 0.2",
    ]


@pytest.mark.parametrize(
    "prune, tau, says",
    [
        ("wpsp", 0.1, "prune='wpsp'"),
        ("none", 0.1, "prune='none'"),
        ("psp", -0.1, "tau=-0.1"),
        ("psp", 95, "tau=95"),
        ("psp", "a", "tau='a'"),
    ],
)
def test_what_cannot_be_cut_is_said_in_one_line(prune, tau, says):
    with pytest.raises(AvbookError, match=says) as raised:
        draw_tau(PSP(**SMALL, prune=prune), ave_clips(), tau, NAMES)
    assert "\n" not in str(raised.value)


def test_other_bad_input(net):
    with pytest.raises(AvbookError, match="row=6: the batch holds 6 clips"):
        draw_tau(net, ave_clips(), 0.1, NAMES, row=6)
    with pytest.raises(AvbookError, match="lacks visual"):
        draw_tau(net, {"audio": 0, "labels": 0}, 0.1, NAMES)
    with pytest.raises(AvbookError, match="Linear with prune=None"):
        draw_tau(torch.nn.Linear(2, 2), ave_clips(), 0.1, NAMES)
    with pytest.raises(AvbookError, match=r"clips=\[99\]"):
        tau_explorer(net, Data(), clips=[99])
    with pytest.raises(AvbookError, match="prune='asp'"):
        tau_explorer(PSP(**SMALL, prune="asp"), Data())


def test_the_explorer_redraws_on_either_control(net):
    widgets = pytest.importorskip("ipywidgets")
    box = tau_explorer(net, Data())
    (clip, slider), picture = box.children[0].children, box.children[1]
    assert isinstance(slider, widgets.FloatSlider) and bytes(picture.value).startswith(b"\x89PNG")
    labels = Data().test.labels
    assert [row for _, row in clip.options] == [
        i for i in range(6) if (labels[i, :, -1] == 0).any()
    ]
    first = bytes(picture.value)
    slider.value = 0.25
    second = bytes(picture.value)
    clip.value = clip.options[1][1]
    assert len({first, second, bytes(picture.value)}) == 3
    slider.value, clip.value = 0.095, clip.options[0][1]
    assert bytes(picture.value) == first and net.propagation.tau == 0.095


def test_only_the_explorer_needs_ipywidgets(net, monkeypatch):
    asked = "import sys, avbook.show.widgets.threshold; print('ipywidgets' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", asked], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "False"
    )
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    draw_tau(net, ave_clips(), 0.1, NAMES)
    with pytest.raises(AvbookError, match="ipywidgets is not installed"):
        tau_explorer(net, Data())


def test_a_drawing_becomes_a_picture_and_is_closed():
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(2, 1))
    assert png_bytes(figure).startswith(b"\x89PNG") and not plt.fignum_exists(figure.number)


@pytest.mark.parametrize("clips", [[], [3], [-1, 0]])
def test_rows_that_are_not_there_are_refused(clips):
    with pytest.raises(AvbookError, match="rows of the val split, 0 to 2"):
        rows_offered(clips, 3, "val")


def test_rows_are_offered_as_integers():
    assert rows_offered(np.array([2, 0]), 3, "val") == [2, 0]
