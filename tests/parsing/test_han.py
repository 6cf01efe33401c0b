"""HAN: the released weights give the released outputs (golden arrays), and what holds for any
weights."""

import numpy as np
import pytest
import torch
from han_batches import batch_of, close, random_batch, released_names, small
from hypothesis import given, settings, strategies as st

from avbook.errors import AvbookError
from avbook.experiments.released import load_released
from avbook.parsing.han import (
    HAN,
    Attention,
    HANMethod,
    frames_to_segments,
    probability_loss,
    smooth_labels,
)
from avbook.parsing.ma import MA
from avbook.parsing.pooling import Pooling, weighted_sum


@pytest.fixture(scope="module")
def arrays(golden_dir):
    with np.load(golden_dir / "han_ma.npz") as file:
        return {key: file[key] for key in file}


def both(out, what):
    return torch.stack([out[what + "_audio"], out[what + "_visual"]], 2)


# ------------------------------------------------------------------------------------------- golden
@pytest.mark.parametrize("average", ["before", "after"])
@pytest.mark.parametrize("kind,prefix", [("han", "han/"), ("ma", "ma1/"), ("ma", "ma2/")])
def test_released_outputs(arrays, kind, prefix, average):
    net = load_released(kind, arrays)
    net.projection.average = average
    out = net(batch_of(arrays))
    close(out["video"], arrays[prefix + "global"])
    close(out["video_audio"], arrays[prefix + "a_prob"])
    close(out["video_visual"], arrays[prefix + "v_prob"])
    close(both(out, "segment"), arrays[prefix + "frame_prob"])


@pytest.mark.parametrize("average", ["before", "after"])
def test_released_internals(arrays, average):
    """In double precision on our side: the features reach 5 in size, and two roundings may differ
    by more than 1e-5."""
    net = load_released("han", arrays).double()
    net.projection.average = average
    out = net(batch_of(arrays, torch.float64))
    for ours, theirs in (
        ("f_a", "x_audio"),
        ("f_v", "x_visual"),
        ("f_a_hat", "hat_audio"),
        ("f_v_hat", "hat_visual"),
    ):
        close(out[ours], arrays["int/" + theirs])
        close(
            load_released("han", arrays)(batch_of(arrays))[ours], arrays["int/" + theirs], atol=3e-5
        )


def test_double_precision(arrays):
    net = load_released("han", arrays).double()
    net.projection.average = "after"
    out = net(batch_of(arrays, torch.float64))
    for ours, theirs in (
        (out["video"], "global"),
        (out["video_audio"], "a_prob"),
        (out["video_visual"], "v_prob"),
        (both(out, "segment"), "frame_prob"),
    ):
        close(ours, arrays["f64/" + theirs], atol=1e-12)


@pytest.mark.parametrize("average", ["before", "after"])
def test_released_loss(arrays, average):
    net = load_released("han", arrays)
    net.projection.average = average
    loss, parts = HANMethod().loss(net, batch_of(arrays))
    close(HANMethod().targets(batch_of(arrays))["visual"], arrays["loss/Pv"], atol=1e-7)
    for part, key in (
        ("audio", "loss1_audio"),
        ("visual", "loss2_visual"),
        ("video", "loss3_global"),
    ):
        close(parts[part], arrays["loss/" + key])
    close(loss, arrays["loss/total_han"])


def test_every_weight_is_read(arrays):
    """Every golden weight has a place in ours, and the loader does not do without one."""
    for kind in ("han", "ma"):
        assert set(released_names(load_released(kind, arrays), kind)) == {
            key[3:] for key in arrays if key.startswith("sd/")
        }
        with pytest.raises(AvbookError, match="missing fc_a.bias"):
            load_released(
                kind, {key: value for key, value in arrays.items() if key != "sd/fc_a.bias"}
            )


def test_what_the_released_class_never_reads_may_be_there(arrays):
    extra = {
        "sd/cmt_encoder.layers.0.linear1.weight": np.zeros((512, 512), np.float32),
        "sd/t_att.fc.weight": np.zeros((2, 2), np.float32),
        "sd/hat_encoder.norm1.weight": np.zeros(512, np.float32),
        "sd/audio_encoder.x": np.zeros(1, np.float32),
    }
    load_released("ma", arrays | extra)
    with pytest.raises(AvbookError, match="left over fc_new.weight"):
        load_released("ma", arrays | {"sd/fc_new.weight": np.zeros(1, np.float32)})


# --------------------------------------------------------------------------------------- properties
def test_shapes_for_any_length():
    out = small()(random_batch(videos=2, seconds=6, frames=3))
    assert {key: tuple(value.shape) for key, value in out.items()} == {
        "f_a": (2, 6, 8),
        "f_v": (2, 6, 8),
        "f_a_hat": (2, 6, 8),
        "f_v_hat": (2, 6, 8),
        "segment_audio": (2, 6, 7),
        "segment_visual": (2, 6, 7),
        "video_audio": (2, 7),
        "video_visual": (2, 7),
        "video": (2, 7),
        "frame_attention": (2, 6, 2, 7),
        "modality_attention": (2, 6, 2, 7),
    }


def test_attention_is_pytorchs():
    ours, theirs = Attention(8, 0.0), torch.nn.MultiheadAttention(8, 1, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    x, y = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    for source in (x, y):
        gathered, weights = theirs(x, source, source)
        close(ours(x, source), gathered.detach(), atol=1e-6)
        close(ours.weights(x, source), weights.detach(), atol=1e-6)


def test_one_layer_serves_both_modalities():
    net, batch = small().eval(), random_batch()
    out = net(batch)
    close(out["f_a_hat"], net.attention(out["f_a"], out["f_v"]), atol=1e-6)
    close(out["f_v_hat"], net.attention(out["f_v"], out["f_a"]), atol=1e-6)


def test_streams_join_in_any_pairing():
    net, one, two = small().eval(), random_batch(seed=1), random_batch(seed=2)
    swapped = net({**one, "audio": two["audio"]})
    first, second = net.encode(one), net.encode(two)
    joined = net.fuse(first | {name: second[name] for name in ("f_a", "own_a")})
    assert joined.keys() == swapped.keys()
    for key, value in swapped.items():
        close(joined[key], value.detach(), atol=1e-6)


def test_permuted_segments_give_permuted_outputs():
    """HAN has no positional encoding: permuted segments give permuted outputs."""
    net, batch = small().eval(), random_batch(frames=1)
    order = torch.tensor([2, 0, 3, 1])
    turned = net({k: v[:, order] if k != "video_labels" else v for k, v in batch.items()})
    out = net(batch)
    close(turned["segment_audio"], out["segment_audio"][:, order].detach(), atol=1e-6)
    close(turned["video"], out["video"].detach(), atol=1e-6)


@pytest.mark.parametrize("frames,seconds", [(9, 4), (8, 3), (8, 0)])
def test_frames_that_do_not_divide(frames, seconds):
    with pytest.raises(AvbookError, match=f"{frames} frames do not divide into {seconds} seconds"):
        frames_to_segments(torch.zeros(1, frames, 2), seconds)


def test_options_are_checked():
    for options in ({"average": "never"}, {"modality": "smell"}, {"pool": "min"}):
        with pytest.raises(
            AvbookError, match=f"{next(iter(options))}='{next(iter(options.values()))}'"
        ):
            small(**options)
    with pytest.raises(AvbookError, match="filter='some'"):
        HANMethod(filter="some")


# ------------------------------------------------------------------------------------------ pooling
unit = st.floats(0, 1, width=32)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_pooled_sums(seed, seconds):
    g = torch.Generator().manual_seed(seed)
    frame = (4 * torch.randn(2, seconds, 2, 3, generator=g)).softmax(1)
    modality = (4 * torch.randn(2, seconds, 2, 3, generator=g)).softmax(2)
    each, video = weighted_sum(torch.ones(2, seconds, 2, 3), frame, modality)
    close(each, torch.ones(2, 2, 3), atol=1e-5)
    close(video, (frame * modality).sum((1, 2)), atol=1e-6)
    assert 0 <= float(video.min()) and float(video.max()) <= 2 + 1e-5
    probabilities = torch.rand(2, seconds, 2, 3, generator=g)
    repaired = weighted_sum(probabilities, frame, modality, normalise=True)[1]
    assert (
        float(repaired.min()) >= float(probabilities.min()) - 1e-5
        and float(repaired.max()) <= float(probabilities.max()) + 1e-5
    )
    close(
        weighted_sum(torch.ones_like(frame), frame, modality, normalise=True)[1],
        torch.ones(2, 3),
        atol=1e-5,
    )


def test_the_video_can_exceed_one():
    frame = torch.tensor([[0.9, 0.1], [0.1, 0.9]])[
        None, :, :, None
    ]  # audio in the first segment, visual in the second
    modality = torch.tensor([[0.9, 0.1], [0.1, 0.9]])[None, :, :, None]
    each, video = weighted_sum(torch.ones(1, 2, 2, 1), frame, modality)
    assert float(video) == pytest.approx(1.64)
    assert each.flatten().tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("pool,expected", [("mean", 0.3), ("max", 0.9)])
def test_pools_without_weights(pool, expected):
    probabilities = torch.tensor([[[0.1, 0.1], [0.9, 0.1]]]).reshape(1, 2, 2, 1)
    out = Pooling(4, 1, pool)(torch.zeros(1, 2, 2, 4), probabilities)
    assert float(out["video"]) == pytest.approx(expected)
    assert sum(p.numel() for p in Pooling(4, 1, pool).parameters()) == 0


# ---------------------------------------------------------------------------------- losses, methods
def test_probabilities_beyond_one_are_held_and_get_no_gradient():
    p = torch.tensor([[1.2, 0.4, -0.1]], requires_grad=True)
    loss = probability_loss(p, torch.tensor([[1.0, 1.0, 0.0]]))
    loss.backward()
    assert p.grad[0, 0] == 0 and p.grad[0, 2] == 0 and p.grad[0, 1] < 0
    assert float(loss.detach()) == pytest.approx(-np.log(0.4) / 3, abs=1e-5)


def test_smoothing():
    assert smooth_labels(torch.tensor([1.0, 0.0]), 0.1).tolist() == pytest.approx([0.95, 0.05])
    assert smooth_labels(torch.tensor([1.0, 0.0]), 0.0).tolist() == [1, 0]


def test_both_filters():
    out = {
        "segment_audio": torch.tensor([[[0.9, 0.9, 0.4]]]),
        "segment_visual": torch.tensor([[[0.9, 0.9, 0.9]]]),
        "video_audio": torch.tensor([[0.4, 0.9, 0.9]]),
        "video_visual": torch.tensor([[0.5, 0.4, 0.9]]),
        "video": torch.tensor([[0.9, 0.9, 0.4]]),
    }
    method_of = lambda name: HANMethod(filter=name).predict(lambda batch: out, None)  # noqa: E731
    assert method_of("video")["audio"].tolist() == [[[1, 1, 0]]] and method_of("video")[
        "visual"
    ].tolist() == [[[1, 1, 0]]]
    assert method_of("modality")["audio"].tolist() == [[[0, 1, 0]]] and method_of("modality")[
        "visual"
    ].tolist() == [[[1, 0, 1]]]


@pytest.mark.parametrize("name", ["video", "modality"])
def test_filters_are_those_of_the_metrics(name):
    from avbook.metrics.llp import filtered

    net, batch = small(seed=1).eval(), random_batch(videos=40, seed=1)
    with torch.no_grad():
        predicted = HANMethod(filter=name).predict(net, batch)
        expected = filtered({key: value.numpy() for key, value in net(batch).items()}, by=name)
    assert all(
        np.array_equal(ours.numpy() > 0, theirs)
        for ours, theirs in zip(predicted.values(), expected)
    )
    assert 0 < float(predicted["audio"].float().mean()) < 1


@pytest.mark.parametrize("kind", [HAN, MA])
@pytest.mark.parametrize("modality,other", [("audio", "visual"), ("visual", "audio")])
def test_one_modality(kind, modality, other):
    net, batch = small(kind=kind, modality=modality), random_batch()
    out = net(batch)
    assert f"segment_{other}" not in out and out[f"segment_{modality}"].shape == (3, 4, 7)
    close(out["video"], out[f"video_{modality}"].detach(), atol=1e-6)
    loss, parts = HANMethod().loss(net, batch)
    assert set(parts) == {modality, "video"}
    loss.backward()
    assert all(p.grad is not None for name, p in net.named_parameters() if "cross" not in name)
    predicted = HANMethod().predict(net, batch)
    assert predicted[other].sum() == 0 and predicted[other].shape == predicted[modality].shape
    assert not any(f"projection.{other}" in name for name, _ in net.named_parameters())
    names = ("audio",) if other == "audio" else ("visual_2d", "visual_3d")
    unread = batch | {name: torch.full_like(batch[name], np.nan) for name in names}
    found, without = net.eval()(batch), net(unread)
    assert all(torch.equal(found[name], without[name]) for name in found)


def test_gradients_reach_everything():
    net, batch = small(), random_batch()
    HANMethod().loss(net, batch)[0].backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0
        for name, p in net.named_parameters()
        if not name.endswith("modality.bias")
    )


def test_it_learns():
    net, batch = small(seed=3, dropout=0.0), random_batch(videos=6, seed=3)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(80):
        loss, _ = HANMethod(smoothing_visual=0).loss(net, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]


def test_half_precision_gives_single_probabilities():
    net, batch = small(), random_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = HANMethod().loss(net, batch)
        out = net(batch)
    assert (
        loss.dtype == torch.float32
        and out["video"].dtype == torch.float32
        and out["segment_audio"].dtype == torch.float32
    )
    loss.backward()
