"""Audio-guided attention and self-attention."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from avbook.common.tensors import xavier_linear
from avbook.errors import AvbookError
from avbook.supervised.attention import AudioGuidedAttention, SelfAttention


def inputs(batch=2, seconds=3, side=3, audio=5, visual=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, seconds, audio, generator=generator), torch.randn(
        batch, seconds, side, side, visual, generator=generator
    )


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_weights_are_shares_and_the_result_is_their_mean(batch, seconds, side, seed):
    audio, visual = inputs(batch, seconds, side, seed=seed)
    torch.manual_seed(seed)
    attended, weights = AudioGuidedAttention(5, 4, side * side, 8)(audio, visual)
    assert attended.shape == (batch, seconds, 4) and weights.shape == (batch, seconds, side * side)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(batch, seconds))
    by_hand = (weights.unsqueeze(-1) * visual.flatten(2, 3)).sum(2)
    torch.testing.assert_close(attended, by_hand)


def test_the_formula_second_by_second():
    """z = w_h tanh(U A_v + (g A_g) 1ᵀ), position by position and unit by unit."""
    audio, visual = inputs(batch=1, seconds=2, side=2)
    net = AudioGuidedAttention(5, 4, 4, 6).double()
    audio, visual = audio.double(), visual.double()
    _, weights = net(audio, visual)
    a_v, a_g, w_h = net.visual_units.weight, net.audio_units.weight, net.score.weight[0]
    for t in range(2):
        g = torch.relu(net.audio.weight @ audio[0, t] + net.audio.bias)
        z = []
        for p, pixel in enumerate(visual[0, t].reshape(4, 4)):
            u = torch.relu(net.visual.weight @ pixel + net.visual.bias)
            z.append(sum(w_h[k] * torch.tanh(a_v[k] @ u + a_g[p] @ g) for k in range(4)))
        torch.testing.assert_close(weights[0, t], torch.stack(z).softmax(0))


def test_the_weights_depend_on_the_audio_of_the_same_segment_only():
    audio, visual = inputs()
    net = AudioGuidedAttention(5, 4, 9, 8)
    _, before = net(audio, visual)
    audio[1, 2] += 1
    _, after = net(audio, visual)
    changed = (before != after).any(-1)
    assert changed[1, 2] and changed.sum() == 1


def test_flat_positions_give_the_same_output():
    audio, visual = inputs()
    net = AudioGuidedAttention(5, 4, 9, 8)
    for grid, flat in zip(net(audio, visual), net(audio, visual.flatten(2, 3))):
        assert torch.equal(grid, flat)


def test_no_gradient_to_the_visual_features_but_to_the_audio_and_every_weight():
    audio, visual = (x.requires_grad_() for x in inputs())
    net = AudioGuidedAttention(5, 4, 9, 8)
    net(audio, visual)[0].square().sum().backward()
    assert visual.grad is None and audio.grad.abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in net.parameters())


def test_another_number_of_positions_is_named():
    audio, visual = inputs(side=2)
    with pytest.raises(AvbookError, match=r"4 positions, expected 9.*positions=4"):
        AudioGuidedAttention(5, 4, 9, 8)(audio, visual)


def test_self_attention_is_equivariant_and_mixes_segments():
    x = torch.randn(2, 5, 6)
    net = SelfAttention(6)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(net(x)[:, order], net(x[:, order]))
    q, k, v = net.query(x), net.key(x), net.value(x)
    torch.testing.assert_close(net(x), x + (q @ k.mT / 6**0.5).softmax(-1) @ v)


def test_xavier_start():
    layer = xavier_linear(30, 50)
    bound = (6 / 80) ** 0.5
    assert layer.weight.abs().max() <= bound and layer.weight.abs().max() > 0.95 * bound
    assert xavier_linear(3, 4, bias=False).bias is None
