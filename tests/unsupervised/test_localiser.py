"""The localiser: relevance, categories, pooling and loss against plain NumPy, gradients by finite
differences, the rule for background."""

import numpy as np
import pytest
import torch

from avbook.errors import AvbookError
from avbook.unsupervised.localiser import (
    Interaction,
    Localiser,
    category_scores,
    decode_segments,
    gamma_scores,
    is_background,
    mil_loss,
    mil_pool,
    relevance,
)

BACKGROUND = 28


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def test_equations_14_to_17_as_written_out_in_loops():
    rng = np.random.default_rng(0)
    logits, categories = rng.normal(size=(3, 10)), rng.normal(size=(3, 10, 5))
    gamma, s = softmax(logits), softmax(categories)
    targets = np.eye(5)[[0, 3, 4]]
    y = np.array(
        [[sum(s[b, t, c] * gamma[b, t] for t in range(10)) for c in range(5)] for b in range(3)]
    )
    loss = -np.mean(
        [
            [
                targets[b, c] * np.log(y[b, c]) + (1 - targets[b, c]) * np.log(1 - y[b, c])
                for c in range(5)
            ]
            for b in range(3)
        ]
    )
    found = mil_pool(category_scores(torch.tensor(categories)), relevance(torch.tensor(logits)))
    np.testing.assert_allclose(found, y, rtol=1e-12)
    np.testing.assert_allclose(mil_loss(found, torch.tensor(targets)), loss, rtol=1e-12)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)


def test_relevance_by_sigmoid_and_sharpened():
    logits = torch.randn(2, 4, dtype=torch.float64)
    share = 1 / (1 + np.exp(-logits.numpy()))
    np.testing.assert_allclose(
        relevance(logits, "sigmoid"), share / share.sum(1, keepdims=True), rtol=1e-12
    )
    np.testing.assert_allclose(
        relevance(logits, temperature=0.5), softmax(2 * logits.numpy()), rtol=1e-12
    )
    assert torch.allclose(
        relevance(logits, temperature=1e-3).max(1).values, torch.ones(2, dtype=torch.float64)
    )
    with pytest.raises(AvbookError, match="sigmoid"):
        relevance(logits, "relu")


def test_gradients_of_pooling_and_loss_by_finite_differences():
    targets = torch.eye(4, dtype=torch.float64)[[1, 2]]
    for kind in ("softmax", "sigmoid"):
        chain = lambda a, b: mil_loss(
            mil_pool(category_scores(a), relevance(b, kind, 0.7)), targets
        )
        assert torch.autograd.gradcheck(
            chain,
            (
                torch.randn(2, 6, 4, dtype=torch.float64, requires_grad=True),
                torch.randn(2, 6, dtype=torch.float64, requires_grad=True),
            ),
        )


def test_the_loss_of_sure_and_of_impossible_clips_stays_finite():
    y = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert mil_loss(y[:1], torch.tensor([[1.0, 0.0]])) == 0
    assert torch.isfinite(mil_loss(y, torch.tensor([[0.0, 1.0], [0.0, 1.0]])))
    assert torch.isfinite(
        mil_loss(y + 1e-7, torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    )  # rounding may pass 1


def test_equal_category_scores_leave_relevance_without_a_gradient():
    logits = torch.randn(2, 10, requires_grad=True)
    segments = torch.rand(2, 1, 5).softmax(-1).expand(-1, 10, -1)
    mil_loss(mil_pool(segments, relevance(logits)), torch.eye(5)[[0, 1]]).backward()
    assert logits.grad.abs().max() < 1e-7


def test_the_gradient_of_a_relevance_logit_is_gamma_times_the_distance_from_the_mean():
    logits, segments = (
        torch.randn(1, 10, dtype=torch.float64, requires_grad=True),
        torch.rand(1, 10, 3, dtype=torch.float64).softmax(-1),
    )
    gamma = relevance(logits)
    y = mil_pool(segments, gamma)
    (grad,) = torch.autograd.grad(y[0, 1], logits)
    torch.testing.assert_close(grad, gamma * (segments[..., 1] - y[:, 1:2]))


def test_the_network_gives_shares_and_keeps_its_pooling():
    net = Localiser(12, hidden=8, categories=5, heads=2)
    out = net({"features": torch.randn(3, 10, 12)})
    assert (
        out["fusion"].shape == (3, 10, 8)
        and out["segments"].shape == (3, 10, 5)
        and out["video"].shape == (3, 5)
    )
    for name, axis in (("gamma", 1), ("segments", 2), ("video", 1)):
        torch.testing.assert_close(out[name].sum(axis), torch.ones_like(out[name].sum(axis)))
    torch.testing.assert_close(
        out["video"], torch.einsum("btc,bt->bc", out["segments"], out["gamma"])
    )


def test_the_order_of_the_seconds_does_not_matter_but_the_order_of_the_tracks_does():
    net, x, order = (
        Localiser(12, hidden=8, categories=5, heads=2).eval(),
        torch.randn(3, 10, 12),
        torch.randperm(10),
    )
    with torch.no_grad():
        straight, mixed, swapped = (
            net({"features": f}) for f in (x, x[:, order], torch.cat([x[..., 6:], x[..., :6]], -1))
        )
    torch.testing.assert_close(mixed["gamma"], straight["gamma"][:, order])
    torch.testing.assert_close(mixed["video"], straight["video"])
    assert (swapped["video"] - straight["video"]).abs().max() > 1e-4


def test_one_track_asks_itself():
    net, x = Localiser(6, hidden=8, categories=5, heads=2, tracks=1).eval(), torch.randn(3, 10, 6)
    with torch.no_grad():
        own = net.project[0](x)
        torch.testing.assert_close(
            net({"features": x})["fusion"],
            net.interaction.norm(own + net.interaction.attention(own, own, own)[0]),
        )


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(AvbookError, match="modalities, 2"):
        Localiser(7)
    with pytest.raises(AvbookError, match="softmax"):
        Localiser(8, hidden=8, gamma="hard")
    with pytest.raises(AvbookError, match="6 wide"):
        Localiser(8, hidden=8, heads=2)({"features": torch.randn(1, 10, 6)})


def test_the_interaction_is_the_released_module_of_cmran(golden_dir):
    """Same weights, same answer: the product of both tracks, asking [sound, picture], with residual
    and normalisation."""
    with np.load(golden_dir / "cmran_weak.npz", allow_pickle=False) as arrays:
        weights = {
            name.removeprefix("sd/AVInter."): torch.tensor(arrays[name])
            for name in arrays
            if name.startswith("sd/AVInter.")
        }
    names = {"video_multihead": "attention", "norm1": "norm"}
    module = Interaction(256, 4)
    module.load_state_dict(
        {
            ".".join([names[name.split(".")[0]], *name.split(".")[1:]]): tensor
            for name, tensor in weights.items()
        }
    )
    audio, visual = torch.randn(2, 10, 256), torch.randn(2, 10, 256)
    reference = torch.nn.MultiheadAttention(256, 4)  # time first, as released
    reference.load_state_dict(
        {
            name.removeprefix("video_multihead."): tensor
            for name, tensor in weights.items()
            if name.startswith("video")
        }
    )
    a, v = audio.transpose(0, 1), visual.transpose(0, 1)
    with torch.no_grad():
        middle = reference(a * v, torch.cat([a, v]), torch.cat([a, v]))[0]
        expected = torch.nn.functional.layer_norm(
            a * v + middle, (256,), weights["norm1.weight"], weights["norm1.bias"]
        )
        torch.testing.assert_close(
            module(audio, visual), expected.transpose(0, 1), atol=1e-5, rtol=1e-5
        )


def test_background_is_what_lies_below_a_share_of_the_largest_relevance():
    gamma = np.array([[0.4, 0.2, 0.19, 0.21], [0.25, 0.25, 0.25, 0.25]])
    assert is_background(gamma, 0.5).tolist() == [[False, False, True, False], [False] * 4]
    assert not is_background(gamma, 0.0).any()
    assert is_background(gamma, 1.0).tolist() == [[False, True, True, True], [False] * 4]
    with pytest.raises(AvbookError, match="0 to 1"):
        is_background(gamma, 1.5)


def test_seconds_take_the_name_of_their_own_best_category():
    segments = np.array([[[0.6, 0.4], [0.2, 0.8], [0.9, 0.1]]])
    assert decode_segments(
        segments, np.array([[0.5, 0.4, 0.1]]), np.array([7, 3]), BACKGROUND
    ).tolist() == [[7, 3, BACKGROUND]]


def test_how_gamma_is_judged():
    background = np.array([[False, False, True, True], [False] * 4, [True] * 4])
    right, wrong, flat = (
        np.tile(g, (3, 1)) for g in ([0.4, 0.4, 0.1, 0.1], [0.1, 0.1, 0.4, 0.4], [0.25] * 4)
    )
    assert gamma_scores(right, background) == pytest.approx(
        {"gamma_correlation": 100, "gamma_auc": 100, "gamma_ratio": 25}
    )
    assert gamma_scores(wrong, background) == pytest.approx(
        {"gamma_correlation": -100, "gamma_auc": 0, "gamma_ratio": 25}
    )
    assert gamma_scores(flat, background) == pytest.approx(
        {"gamma_correlation": 0, "gamma_auc": 50, "gamma_ratio": 100}
    )
    assert np.isnan(gamma_scores(right[1:], background[1:])["gamma_auc"])
