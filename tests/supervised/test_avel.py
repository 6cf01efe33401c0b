"""The encoder, the head in both settings, the baseline and the losses every AVE method shares."""

import math

import pytest
import torch
from ave_batches import clip_batch
from torch import nn

from avbook.errors import AvbookError
from avbook.papers.schema import implementations
from avbook.supervised.avel import AVEL, AVEHead, AVEMethod, Encoder, segment_loss, video_loss
from avbook.supervised.psp import PSPMethod
from avbook.training import device as machine

SMALL = dict(
    audio_dim=6, visual_dim=5, positions=4, attention_dim=8, bottleneck=7, width=6, hidden=3
)


@pytest.mark.parametrize("inputs", ["raw", "one-layer", "two-layer"])
def test_encoder_shapes_and_layers(inputs):
    batch = clip_batch()
    net = Encoder(**SMALL, inputs=inputs)
    out = net(batch["audio"], batch["visual"])
    assert out["attention"].shape == (3, 4, 4) and out["v_lstm"].shape == out["a_lstm"].shape == (
        3,
        4,
        6,
    )
    layers = [
        sum(isinstance(m, nn.Linear) for m in part.modules())
        for part in (net.audio_in, net.visual_in)
    ]
    assert layers == {"raw": [0, 0], "one-layer": [0, 1], "two-layer": [2, 2]}[inputs]


def test_encoder_sees_the_whole_clip_and_no_other():
    batch = clip_batch()
    net = Encoder(**SMALL)
    before = net(batch["audio"], batch["visual"])["a_lstm"]
    batch["audio"][0, 3] += 1
    changed = (net(batch["audio"], batch["visual"])["a_lstm"] != before).any(-1)
    assert changed[0].all() and not changed[1:].any()


def test_encoder_refuses_unknown_inputs():
    with pytest.raises(AvbookError, match="'raw', 'one-layer' or 'two-layer'"):
        Encoder(inputs="both")


def test_head_scores_only_seconds_when_fully_supervised():
    assert set(AVEHead(4, 2, weak=False, weighting=True)(torch.randn(2, 3, 4))) == {"scores"}


def test_weak_head_with_and_without_the_branch():
    fusion = torch.randn(5, 3, 4)
    torch.manual_seed(0)
    with_branch = AVEHead(4, 2, weak=True)
    plain = AVEHead(4, 2, weak=True, weighting=False)
    plain.load_state_dict(with_branch.state_dict(), strict=False)
    raw, out = plain(fusion), with_branch(fusion)
    torch.testing.assert_close(raw["video_scores"], raw["scores"].mean(1).softmax(-1))  # Eq. 6
    strength = raw["scores"] @ with_branch.weight.weight.T
    torch.testing.assert_close(out["phi"], torch.sigmoid(strength.clamp(min=0)))
    torch.testing.assert_close(out["scores"], raw["scores"] * out["phi"])  # Eq. 5
    torch.testing.assert_close(out["video_scores"].sum(-1), torch.ones(5))
    assert "phi" not in raw


def test_released_weights_never_fall_below_a_half():
    fusion = torch.randn(200, 3, 4)
    net = AVEHead(4, 2, weak=True)
    assert net(fusion)["phi"].min() == 0.5
    net.weighting_relu = False
    assert net(fusion)["phi"].min() < 0.5


def test_max_pooling():
    net = AVEHead(4, 2, weak=True, weighting=False, pool="max")
    out = net(torch.randn(2, 3, 4))
    torch.testing.assert_close(out["video_scores"], out["scores"].max(1).values.softmax(-1))
    with pytest.raises(AvbookError, match="'mean' or 'max'"):
        AVEHead(4, pool="median")


def test_segment_loss_is_the_mean_over_seconds():
    batch = clip_batch()
    scores = torch.randn(3, 4, 3)
    by_hand = -(batch["labels"] * scores.log_softmax(-1)).sum() / 12
    torch.testing.assert_close(segment_loss(scores, batch["labels"]), by_hand)
    assert float(segment_loss(torch.zeros(3, 4, 3), batch["labels"])) == pytest.approx(math.log(3))


def test_video_loss_by_hand_and_at_the_edge():
    p, y = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.7, 0.0, 0.3]])
    by_hand = (
        -(
            0.7 * math.log(0.5)
            + 0.3 * math.log(0.5)
            + math.log(0.75)
            + 0.3 * math.log(0.25)
            + 0.7 * math.log(0.75)
        )
        / 3
    )
    assert float(video_loss(p, y)) == pytest.approx(by_hand)
    certain = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
    loss = video_loss(certain, y)
    loss.backward()
    assert loss.isfinite() and certain.grad.isfinite().all()
    assert video_loss(p.bfloat16(), y).dtype == torch.float32


@pytest.mark.parametrize("weak", [False, True])
def test_avel_learns_a_batch_and_every_weight_moves(weak):
    torch.manual_seed(0)
    batch, net, method = (
        clip_batch(),
        AVEL(**SMALL, categories=2, head=8, weak=weak, weighting=True),
        AVEMethod(weak=weak),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    first, _ = method.loss(net, batch)
    first.backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0
        for name, p in net.named_parameters()
        if "head.weight" not in name
    )
    for _ in range(60):
        loss, parts = method.loss(net, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < float(first.detach()) * (0.9 if weak else 0.3)
    assert list(parts) == (["bce"] if weak else ["ce"]) and not parts[list(parts)[0]].requires_grad
    predicted = method.predict(net, batch)
    assert predicted.shape == (3, 4) and predicted.max() <= 2
    if not weak:
        assert (predicted == batch["labels"].argmax(-1)).float().mean() > 0.8


@pytest.mark.parametrize("kernels", [True, False])
def test_bfloat16_runs_with_and_without_a_kernel_for_the_lstm(kernels, monkeypatch):
    """As on a processor without bfloat16 units, where oneDNN's LSTM raises a RuntimeError."""
    if kernels and not machine.cpu_lstm_has_bfloat16():
        pytest.skip("this processor has no bfloat16 LSTM")
    monkeypatch.setattr(machine, "cpu_lstm_has_bfloat16", lambda: kernels)
    net, batch, seen = AVEL(**SMALL, categories=2), clip_batch(), []
    for lstm in (net.encoder.lstm_audio, net.encoder.lstm_visual):
        lstm.register_forward_hook(lambda module, inputs, output: seen.append(output[0].dtype))
    whole = net(batch)["scores"]
    with torch.autocast("cpu", torch.bfloat16):
        half = net(batch)["scores"]
        AVEMethod().loss(net, batch)[0].backward()
    assert seen[:2] == [torch.float32] * 2 and set(seen[2:]) == {
        torch.bfloat16 if kernels else torch.float32
    }
    torch.testing.assert_close(half.float(), whole, atol=0.05, rtol=0.05)
    assert all(
        p.grad is not None and p.grad.isfinite().all() for p in net.encoder.lstm_audio.parameters()
    )


def test_avel_takes_the_pair_similarity_loss_as_a_switch():
    batch, net = clip_batch(), AVEL(**SMALL, categories=2)
    ce, _ = AVEMethod().loss(net, batch)
    without, parts = PSPMethod(lam=0).loss(net, batch)
    assert torch.equal(ce, without) and list(parts) == ["ce"]
    for literal in (False, True):
        both, parts = PSPMethod(lam=10, literal=literal).loss(net, batch)
        torch.testing.assert_close(both, parts["ce"] + 10 * parts["avps"])
        assert parts["avps"] > 0


def test_equations_are_registered():
    for number in (5, 6, 7, 11):
        assert any(
            name.startswith("avbook.supervised.avel.") for name in implementations("psp", number)
        ), number


def test_avel_joins_audio_before_visual():
    batch, net = clip_batch(), AVEL(**SMALL, categories=2)
    out = net(batch)
    torch.testing.assert_close(
        out["fusion"], torch.relu(torch.cat([out["a_lstm"], out["v_lstm"]], -1))
    )
    torch.testing.assert_close(out["scores"], net.head(out["fusion"])["scores"])


# ------------------------------------------------------------------------------ one modality alone
ONE = pytest.mark.parametrize("modality, other", [("audio", "visual"), ("visual", "audio")])


@ONE
@pytest.mark.parametrize("inputs", ["raw", "one-layer", "two-layer"])
def test_one_modality_has_no_layer_of_the_other(modality, other, inputs):
    net = AVEL(**SMALL, categories=2, inputs=inputs, modality=modality)
    names = [name for name, _ in net.named_parameters()]
    assert any(modality in name for name in names)
    assert not any(other in name or "attention" in name for name in names)
    assert net.head.hidden.in_features == 2 * SMALL["hidden"]
    own = getattr(net.encoder, f"{modality}_in")
    layers = {"raw": (0, 0), "one-layer": (0, 1), "two-layer": (2, 2)}[inputs]
    assert sum(isinstance(m, nn.Linear) for m in own.modules()) == layers[modality == "visual"]


@ONE
@pytest.mark.parametrize("weak", [False, True])
def test_one_modality_gives_its_own_outputs_and_never_reads_the_other(modality, other, weak):
    batch = clip_batch()
    net = AVEL(**SMALL, categories=2, weak=weak, weighting=weak, modality=modality)
    out = net(batch)
    head = {"scores"} | ({"phi", "video_scores"} if weak else set())
    assert set(out) == {f"{modality[0]}_lstm", "fusion"} | head
    assert out["fusion"].shape == (3, 4, 6) and out["scores"].shape == (3, 4, 3)
    without = net(batch | {other: torch.full_like(batch[other], math.nan)})
    assert all(torch.equal(out[name], without[name]) for name in out)
    batch[modality] = batch[modality] + 1
    assert not torch.equal(net(batch)["scores"], out["scores"])


@ONE
def test_every_weight_of_one_modality_gets_a_gradient(modality, other):
    net = AVEL(**SMALL, categories=2, head=8, inputs="two-layer", modality=modality)
    AVEMethod().loss(net, clip_batch())[0].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_the_visual_stream_alone_is_the_mean_over_positions():
    batch, net = clip_batch(), AVEL(**SMALL, categories=2, modality="visual")
    flat = batch["visual"].flatten(2, 3)  # (B, T, P, dv)
    mean = flat.mean(2, keepdim=True).expand_as(flat)
    for visual in (flat, flat[:, :, [2, 0, 3, 1]], mean):
        torch.testing.assert_close(net(batch | {"visual": visual}), net(batch))


def test_one_modality_with_self_attention_attends_within_it_alone():
    batch, net = clip_batch(), Encoder(**SMALL, self_attention=True, modality="audio")
    assert not any("visual" in name for name, _ in net.named_parameters())
    net(batch["audio"], None)["a_lstm"].sum().backward()
    assert all(p.grad is not None for p in net.audio_self.parameters())


def test_both_modalities_is_the_default_and_no_other_word_is_known():
    batch, nets = clip_batch(), []
    for options in ({}, {"modality": "both"}):
        torch.manual_seed(0)
        nets.append(AVEL(**SMALL, categories=2, **options))
    default, both = (net.state_dict() for net in nets)
    assert list(default) == list(both) and all(torch.equal(default[k], both[k]) for k in both)
    assert list(nets[0](batch)) == [
        "attention", "v_lstm", "a_lstm", "fusion", "similarity_avps", "scores",
    ]  # fmt: skip
    with pytest.raises(AvbookError, match="modality='sound': expected 'both', 'audio' or 'visual'"):
        AVEL(modality="sound")


@pytest.mark.parametrize("literal", [False, True])
def test_the_pair_similarity_loss_refuses_one_modality_in_one_line(literal):
    batch, net = clip_batch(), AVEL(**SMALL, categories=2, modality="audio")
    loss, parts = PSPMethod(lam=0, literal=literal).loss(net, batch)
    assert torch.equal(loss, AVEMethod().loss(net, batch)[0]) and list(parts) == ["ce"]
    with pytest.raises(AvbookError, match="lam=10: .*compares both modalities.*lam=0") as told:
        PSPMethod(lam=10, literal=literal).loss(net, batch)
    assert "\n" not in str(told.value)
