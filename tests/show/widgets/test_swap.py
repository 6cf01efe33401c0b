"""The swap explorer: what is drawn is what the refinement would decide, the network is left as it
was, and no kernel is needed."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from made_splits import MadeSplit

matplotlib.use("Agg")

from avbook.errors import AvbookError
from avbook.parsing.han import HAN
from avbook.parsing.ma import MA
from avbook.parsing.refinement import refine
from avbook.show.widgets.swap import (
    draw_swap,
    draw_swaps,
    fair_partners,
    swap_at,
    swap_explorer,
    verdict,
    what_is_true,
)

SMALL = dict(audio_dim=6, visual_2d_dim=5, visual_3d_dim=4, categories=4, width=8, hidden=8)
NAMES = ("speech", "dog", "cat", "train")
LABELS = [[1, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1], [0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 1, 0]]


def clips(seconds=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    labels = torch.tensor(LABELS, dtype=torch.float32)
    truth = (torch.rand(6, seconds, 4, generator=g) < 0.5).float() * labels[:, None]
    return {
        "audio": torch.randn(6, seconds, 6, generator=g),
        "visual_2d": torch.randn(6, 8 * seconds, 5, generator=g),
        "visual_3d": torch.randn(6, seconds, 4, generator=g),
        "video_labels": labels,
        "audio_labels": truth,
        "visual_labels": truth.flip(1) * labels[:, None],
    }


class Data:
    kind, categories = "folder", NAMES

    def __init__(self):
        self.train = MadeSplit(clips())


@pytest.fixture
def net():
    torch.manual_seed(0)
    return MA(**SMALL).train()


def test_the_four_probabilities_are_those_of_two_assembled_clips(net):
    batch, found = clips(), swap_at(net, clips(), 0, 3)
    net.eval()
    with torch.no_grad():
        own, mine, theirs = (
            net(
                {
                    "audio": batch["audio"][[a]],
                    "visual_2d": batch["visual_2d"][[v]],
                    "visual_3d": batch["visual_3d"][[v]],
                }
            )
            for a, v in ((0, 0), (3, 0), (0, 3))
        )
    for prefix, out in (("before_", own), ("p_a_", mine), ("p_v_", theirs)):
        for track in ("audio", "visual"):
            key = prefix + (track if prefix == "before_" else track[0])
            np.testing.assert_allclose(found[key], out[f"video_{track}"][0], atol=1e-6, err_msg=key)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9])
def test_the_verdict_is_that_of_the_refinement(net, threshold):
    split = MadeSplit(clips())
    partners = np.array([[1], [0], [1], [4], [3], [0]])
    whole = refine(net, split, NAMES, partners=partners, threshold=threshold)
    for row, partner in enumerate(partners[:, 0]):
        found = swap_at(net, split.batch(slice(None)), row, int(partner), whole.errors, threshold)
        for track in ("audio", "visual"):
            assert found[track].tolist() == getattr(whole, track)[row].tolist()
            np.testing.assert_allclose(found[f"falls_{track}"], threshold * whole.errors[track])


def test_the_network_is_left_as_it_was_even_after_an_error(net):
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    draw_swap(net, clips(), NAMES)
    assert net.training
    with pytest.raises(RuntimeError):
        swap_at(net, {**clips(), "visual_3d": torch.zeros(6, 5, 99)})
    assert net.training
    draw_swaps(net.eval(), clips(), NAMES)
    assert not net.training and all(
        torch.equal(weights[name], value) for name, value in net.state_dict().items()
    )


def test_bars_marks_and_title_are_what_was_found(net):
    errors = {"audio": np.array([1.0, 0.4, 0.2, 0.1]), "visual": np.array([0.2, 1.0, 0.3, 0.1])}
    found = swap_at(net, clips(), 0, 1, errors)
    figure = draw_swap(net, clips(), NAMES, 0, 1, errors)
    assert figure.get_suptitle() == verdict(found, NAMES)
    for ax, (picture, sound, falls) in zip(
        figure.axes,
        (
            ("before_visual", "before_audio", None),
            ("p_a_v", "p_a_a", "visual"),
            ("p_v_v", "p_v_a", "audio"),
        ),
    ):
        heights = [patch.get_height() for patch in ax.patches]
        np.testing.assert_allclose(heights, [*found[picture][:2], *found[sound][:2]], atol=1e-6)
        marks = [y for lines in ax.collections for (_, y), _ in lines.get_segments()]
        assert marks == (
            [] if falls is None else [pytest.approx(0.5 * e) for e in errors[falls][:2]]
        )


def test_the_title_names_what_is_lost_and_warns_of_a_shared_label():
    nothing = np.zeros(4, bool)
    found = {
        "labels": np.array([1, 1, 0, 0], bool),
        "visual": np.array([0, 1, 0, 0], bool),
        "audio": np.array([1, 1, 0, 0], bool),
        "shared": nothing,
    }
    assert verdict(found, NAMES) == "Dropped labels, visual: speech; audio: none"
    shared = {**found, "shared": np.array([0, 1, 0, 0], bool)}
    assert verdict(shared, NAMES).endswith("(unsuitable partner: both clips have dog)")


def test_what_is_true_of_a_label():
    truth = torch.zeros(1, 3, 4)
    heard, seen = truth.clone(), truth.clone()
    heard[0, 1, :2], seen[0, 2, 1:3] = 1, 1
    batch = {"audio_labels": heard, "visual_labels": seen}
    assert [what_is_true(batch, 0, c) for c in range(4)] == [
        "audio only",
        "audio-visual",
        "visual only",
        "neither",
    ]
    assert what_is_true({}, 0, 0) == ""


def test_frames_of_both_clips_stand_above(net):
    frames = [np.zeros((5, 8, 8, 3), np.uint8)] * 2
    assert (
        len(draw_swap(net, clips(), NAMES, frames=frames).axes)
        == len(draw_swap(net, clips(), NAMES).axes) + 10
    )


def test_one_clip_with_several_partners(net):
    figure = draw_swaps(net, clips(), NAMES, modality="audio")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    dropped = [
        sum(not swap_at(net, clips(), 0, k)["audio"][c] for k in range(1, 6)) for c in (0, 1)
    ]
    assert [title.split(": ")[1] for title in titles] == [f"dropped with {n} of 5" for n in dropped]


def test_bad_input(net):
    for rows in ((0, 0), (0, 6), (-1, 0)):
        with pytest.raises(AvbookError, match="expected two different rows of a batch of 6 clips"):
            swap_at(net, clips(), *rows)
    with pytest.raises(AvbookError, match="lacks visual_3d"):
        swap_at(net, {name: part for name, part in clips().items() if name != "visual_3d"})
    for deaf in (HAN(**SMALL, modality="visual"), torch.nn.Linear(2, 2)):
        with pytest.raises(AvbookError, match="has one modality"):
            swap_at(deaf, clips())
    with pytest.raises(AvbookError, match="row 1 has no label"):
        draw_swap(
            net,
            {
                **clips(),
                "video_labels": torch.tensor(LABELS) * torch.tensor([1, 0, 1, 1, 1, 1])[:, None],
            },
            NAMES,
            1,
            0,
        )
    with pytest.raises(AvbookError, match="modality='both'"):
        draw_swaps(net, clips(), NAMES, modality="both")
    with pytest.raises(AvbookError, match=r"clips=\[99\]"):
        swap_explorer(net, Data(), clips=[99])


def test_fair_partners_share_no_label():
    labels = np.array(LABELS, bool)
    assert fair_partners(labels, 0) == [1, 3, 5] and fair_partners(labels, 0, most=2) == [1, 3]
    assert fair_partners(np.ones((3, 2), bool), 0) == []


def test_the_explorer_redraws_on_either_control(net):
    pytest.importorskip("ipywidgets")
    box = swap_explorer(net, Data())
    (first, second), picture = box.children[0].children, box.children[1]
    assert [row for _, row in first.options] == [0, 2, 3] and [
        row for _, row in second.options
    ] == [1, 3, 5]
    seen = [bytes(picture.value)]
    second.value = 3
    seen.append(bytes(picture.value))
    first.value = 3
    assert [row for _, row in second.options] == [0, 4]  # partners of the new clip
    seen.append(bytes(picture.value))
    assert len(set(seen)) == 3 and all(value.startswith(b"\x89PNG") for value in seen)
    first.value, second.value = 0, 1
    assert bytes(picture.value) == seen[0] and net.training


def test_a_clip_without_any_fair_partner_is_refused(net):
    pytest.importorskip("ipywidgets")
    data = Data()
    data.train.video_labels = data.train.video_labels.copy()
    data.train.video_labels[0] = 1
    with pytest.raises(AvbookError, match="without the labels of row 0"):
        swap_explorer(net, data)


def test_only_the_explorer_needs_ipywidgets(net, monkeypatch):
    asked = "import sys, avbook.show.widgets.swap; print('ipywidgets' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", asked], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "False"
    )
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    draw_swap(net, clips(), NAMES)
    with pytest.raises(AvbookError, match="ipywidgets is not installed"):
        swap_explorer(net, Data())


def test_the_sound_of_a_world_is_a_wav_file_and_of_other_data_nothing():
    import io
    import wave

    from avbook.data.llp import LLP
    from avbook.show.widgets.swap import world_sound
    from avbook.world.build import world_folder

    assert world_sound(Data(), Data().train, 0) is None
    data = LLP(world_folder("llp", "tiny"))
    with wave.open(io.BytesIO(world_sound(data, data.train, 0))) as file:
        assert (file.getframerate(), file.getnframes(), file.getnchannels()) == (8000, 80000, 1)
