"""The label part of CMLCL: each loss against NumPy, its gradient against finite differences, its
limits, and what becomes of labels."""

import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from avbook.errors import AvbookError
from avbook.papers.schema import implementations
from avbook.unsupervised.label_contrast import (
    ClusterHead,
    assign_pseudo_labels,
    kl,
    label_contrast,
    label_loss,
    mean_entropy,
)
from avbook.unsupervised.neighbours import contrastive_sets


def some(b=3, k=2, c=4, seed=0, scale=1.0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: (scale * torch.randn(*shape, c, generator=g, dtype=dtype)).log_softmax(-1)
    return draw(b), draw(b, k), draw(b, k)


def groups(n=120, kinds=4, dim=8, noise=0.2, seed=0):
    g = torch.Generator().manual_seed(seed)
    kind = torch.arange(n) % kinds
    return 3 * torch.eye(dim)[kind] + noise * torch.randn(n, dim, generator=g), kind


# ----------------------------------------------------------------------------------------- the sums
def loss_in_numpy(log_p, near, far, cap):
    p, near, far = (np.exp(x.numpy()) for x in (log_p, near, far))
    total = 0.0
    for i in range(len(p)):
        for sign, others in ((1, near[i]), (-1, far[i])):
            for q in others:
                divergence = sum(p[i, c] * math.log(p[i, c] / q[c]) for c in range(p.shape[1]))
                total += sign * (divergence if sign == 1 else min(divergence, cap)) / len(others)
    return total / len(p)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(2, 6),
    st.integers(0, 99),
    st.sampled_from([None, 0.1, 1.0, "log C"]),
)
def test_the_contrast_is_the_sum_written_out(b, k, c, seed, cap):
    parts = some(b, k, c, seed, scale=2.0)
    bound = {None: math.inf, "log C": math.log(c)}.get(cap, cap)
    assert label_contrast(*parts, kl_cap=cap).item() == pytest.approx(
        loss_in_numpy(*parts, bound), abs=1e-12
    )


def test_two_distributions_by_hand():
    p, q = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
    assert kl(p, q).item() == pytest.approx(0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1))
    assert (
        kl(q, p).item()
        == pytest.approx(0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5))
        != kl(p, q).item()
    )
    assert label_contrast(p[None], q[None, None], p[None, None]).item() == pytest.approx(
        kl(p, q).item()
    )  # Φ(f_i) comes first


def test_the_entropy_of_the_mean():
    log_p = some(7, c=5)[0]
    mean = log_p.exp().mean(0).numpy()
    assert mean_entropy(log_p).item() == pytest.approx(-(mean * np.log(mean)).sum())
    assert mean_entropy(torch.full((3, 8), 1 / 8).log()).item() == pytest.approx(math.log(8))
    each_its_own = torch.full((8, 8), -40.0).fill_diagonal_(0)
    assert mean_entropy(each_its_own).item() == pytest.approx(
        math.log(8), abs=1e-6
    )  # of the mean, not the mean of the entropies
    assert mean_entropy(each_its_own[:1].expand(8, -1)).item() == pytest.approx(0, abs=1e-6)


def test_the_sign_of_the_entropy_and_the_switches():
    parts = some()
    contrast, entropy = label_contrast(*parts).item(), mean_entropy(parts[0]).item()
    for options, expected in (
        ({}, contrast - entropy),
        ({"literal_sign": True}, contrast + entropy),
        ({"entropy": False}, contrast),
        ({"contrast": False}, -entropy),
        ({"contrast": False, "literal_sign": True}, entropy),
    ):
        loss, terms = label_loss(*parts, **options)
        assert loss.item() == pytest.approx(expected)
        assert terms["contrast"].item() == pytest.approx(contrast) and terms[
            "entropy"
        ].item() == pytest.approx(entropy)
    assert label_loss(*parts, kl_cap=0.01)[0].item() > label_loss(*parts, kl_cap=None)[0].item()


# ------------------------------------------------------------------------------------ the gradients
@pytest.mark.parametrize(
    "options",
    [{}, {"kl_cap": None}, {"literal_sign": True}, {"entropy": False}, {"contrast": False}],
)
def test_gradients_against_finite_differences(options):
    logits = [x.clone().requires_grad_() for x in some(3, 2, 4, seed=1)]
    assert torch.autograd.gradcheck(
        lambda *x: label_loss(*(part.log_softmax(-1) for part in x), **options)[0], logits
    )


def test_gradcheck_where_some_are_above_the_cap_and_some_below():
    logits = [x.clone().requires_grad_() for x in some(4, 3, 4, seed=2, scale=2.0)]
    far = kl(logits[0].detach().log_softmax(-1)[:, None], logits[2].detach().log_softmax(-1))
    assert (far > 1).any() and (far < 1).any()
    assert torch.autograd.gradcheck(
        lambda *x: label_contrast(*(part.log_softmax(-1) for part in x), kl_cap=1.0), logits
    )


def test_where_the_cap_is_reached_the_repulsion_pulls_no_more():
    log_p, near, far = (x.requires_grad_() for x in some(2, 2, 3, scale=8.0))
    (-label_contrast(log_p, log_p.detach()[:, None], far, kl_cap=1e-3)).backward()
    assert kl(log_p.detach()[:, None], far.detach()).min() > 1e-3
    assert far.grad.abs().max() == 0
    far.grad = None
    (-label_contrast(log_p, near, far, kl_cap=None)).backward()
    assert far.grad.abs().max() > 0.1


def test_repulsion_without_a_bound_has_no_floor_and_with_it_has_one():
    for size in (10.0, 100.0, 1000.0):
        left, right = (
            torch.tensor([[size, 0.0]]).log_softmax(-1),
            torch.tensor([[[0.0, size]]]).log_softmax(-1),
        )
        assert label_contrast(left, left[:, None], right, kl_cap=None).item() == pytest.approx(
            -size, rel=1e-2
        )
        assert label_contrast(left, left[:, None], right).item() == pytest.approx(
            -math.log(2), abs=1e-6
        )


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(2, 6), st.integers(0, 99))
def test_bounds(b, k, c, seed):
    parts = some(b, k, c, seed, scale=5.0)
    assert label_contrast(*parts) >= -math.log(c) - 1e-12
    assert -1e-12 <= mean_entropy(parts[0]) <= math.log(c) + 1e-12
    assert label_loss(*parts)[0] >= -2 * math.log(c) - 1e-12
    assert (kl(parts[0][:, None], parts[1]) >= -1e-12).all()


# --------------------------------------------------------------------------------------- the limits
def test_identical_features_attract_and_repel_nothing():
    found = assign_pseudo_labels(
        torch.ones(20, 3), categories=5, k=4, hidden=8, epochs=3, device="cpu"
    )
    assert all(entry["contrast"] == pytest.approx(0, abs=1e-6) for entry in found.history)
    assert (found.probabilities == found.probabilities[0]).all() and len(found.labels.unique()) == 1
    assert found.history[-1]["empty"] == 4


def test_distributions_of_one_category_cost_nothing():
    one = torch.zeros(3, 1)
    assert (
        label_contrast(one, one[:, None], one[:, None]).item() == 0
        and mean_entropy(one).item() == 0
    )
    with pytest.raises(AvbookError, match="categories=1: expected a whole number, at least 2"):
        assign_pseudo_labels(torch.randn(10, 3), categories=1, k=2)


def test_with_all_others_on_both_sides_the_contrast_cancels():
    features, _ = groups(12)
    found = assign_pseudo_labels(
        features, categories=3, k=11, hidden=8, epochs=2, kl_cap=None, device="cpu"
    )
    assert all(abs(entry["contrast"]) < 1e-6 for entry in found.history)
    with pytest.raises(AvbookError, match="k=12 neighbours among 12 videos"):
        assign_pseudo_labels(features, categories=3, k=12)


# ------------------------------------------------------------------------------------ the annotator
def test_the_annotator_is_two_layers_with_a_relu():
    torch.manual_seed(0)
    net = ClusterHead(5, 7, 3)
    x = torch.randn(4, 5)
    hidden = np.maximum(
        x.numpy() @ net[0].weight.detach().numpy().T + net[0].bias.detach().numpy(), 0
    )
    logits = hidden @ net[2].weight.detach().numpy().T + net[2].bias.detach().numpy()
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(net(x).exp().detach().numpy(), expected, rtol=1e-5)


def test_it_finds_clear_groups():
    features, kind = groups()
    found = assign_pseudo_labels(
        features, categories=4, k=20, hidden=16, epochs=40, device="cpu", keep=True
    )
    from avbook.metrics.clustering import cluster_scores

    assert cluster_scores(found.labels, kind)["purity"] > 90
    assert found.probabilities.shape == (120, 4) and found.labels.dtype == torch.int64
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(120))
    assert torch.equal(found.labels, found.probabilities.argmax(1)) and torch.equal(
        found.labels, found.history[-1]["labels"]
    )
    assert found.shares.sum() == pytest.approx(1) and len(found.history) == 40


def test_the_printed_sign_puts_everything_into_one_category():
    features, _ = groups()
    options = dict(categories=4, k=20, hidden=16, epochs=40, contrast=False, device="cpu")
    printed, ours = (
        assign_pseudo_labels(features, literal_sign=True, **options),
        assign_pseudo_labels(features, **options),
    )
    assert (
        printed.shares.max() == 1
        and printed.history[-1]["empty"] == 3
        and printed.history[-1]["entropy"] < 0.05
    )
    assert ours.history[-1]["entropy"] > 1.3


def test_without_a_bound_the_loss_runs_away():
    features, _ = groups()
    options = dict(categories=4, k=20, hidden=16, lr=0.05, epochs=12, device="cpu")
    loose, tight = (
        [
            entry["contrast"]
            for entry in assign_pseudo_labels(features, kl_cap=cap, **options).history
        ]
        for cap in (None, "log C")
    )
    assert min(loose) < -10 * math.log(4) and min(tight) >= -math.log(4) - 1e-5
    with pytest.raises(
        AvbookError,
        match=r"epoch \d+ of the annotator: the loss is -?(nan|inf); try kl_cap='log C'",
    ):
        assign_pseudo_labels(features * 1e20, kl_cap=None, **options)


def test_the_seed_decides_everything_and_labels_decide_nothing():
    assert not {"labels", "categories_of", "truth", "split", "data"} & set(
        inspect.signature(assign_pseudo_labels).parameters
    )
    features, _ = groups()
    options = dict(categories=4, k=10, hidden=8, epochs=3, device="cpu")
    first = assign_pseudo_labels(features, seed=3, **options)
    torch.rand(7)  # the global stream is somewhere else now
    again, other = (
        assign_pseudo_labels(features, seed=3, **options),
        assign_pseudo_labels(features, seed=4, **options),
    )
    assert torch.equal(first.probabilities, again.probabilities) and first.history == again.history
    assert not torch.equal(first.probabilities, other.probabilities)


def test_sets_found_before_are_used_as_they_are():
    features, _ = groups()
    options = dict(categories=4, k=10, hidden=8, epochs=2, device="cpu")
    sets = contrastive_sets(features, 10)
    assert torch.equal(
        assign_pseudo_labels(features, sets=sets, **options).probabilities,
        assign_pseudo_labels(features, **options).probabilities,
    )
    with pytest.raises(AvbookError, match="sets of 120 videos and features of 119"):
        assign_pseudo_labels(features[:119], sets=sets, **options)


@pytest.mark.parametrize(
    "batch_size, n", [(4, 120), (32, 120)]
)  # few rows are gathered; nearly all are asked for, so all are computed
def test_gathering_rows_changes_no_number(batch_size, n, monkeypatch):
    features, _ = groups(n)
    options = dict(categories=4, k=8, hidden=8, epochs=2, batch_size=batch_size, device="cpu")
    found = assign_pseudo_labels(features, **options)
    monkeypatch.setattr(
        torch.Tensor, "numel", lambda self: 0 if self.dtype == torch.int64 else self.nelement()
    )  # always gather
    torch.testing.assert_close(
        assign_pseudo_labels(features, **options).probabilities,
        found.probabilities,
        rtol=1e-4,
        atol=1e-5,
    )


def test_neighbours_as_targets_get_no_gradient():
    features, _ = groups()
    options = dict(categories=4, k=10, hidden=8, epochs=2, device="cpu")
    assert not torch.equal(
        assign_pseudo_labels(features, **options).probabilities,
        assign_pseudo_labels(features, through_neighbours=False, **options).probabilities,
    )


# ------------------------------------------------------------------------------------------- faults
@pytest.mark.parametrize(
    "options, says",
    [
        ({"kl_cap": 0}, "kl_cap=0"),
        ({"kl_cap": "log K"}, "kl_cap='log K'"),
        ({"kl_cap": True}, "kl_cap=True"),
        ({"kl_cap": float("nan")}, "kl_cap=nan"),
    ],
)
def test_a_cap_is_a_number_or_log_c(options, says):
    with pytest.raises(AvbookError, match=says):
        label_contrast(*some(), **options)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"epochs": 0}, "epochs=0"),
        ({"hidden": 2.5}, "hidden=2.5"),
        ({"batch_size": True}, "batch_size=True"),
        ({"seed": -1}, "seed -1"),
        ({"method": "fast"}, "method='fast'"),
    ],
)
def test_bad_options(options, says):
    with pytest.raises(AvbookError, match=says):
        assign_pseudo_labels(
            torch.randn(20, 3), categories=4, **{"k": 3, "hidden": 4, "epochs": 1, **options}
        )


def test_the_equations_are_in_the_index():
    for number, name in ((9, "label_contrast"), (10, "mean_entropy"), (11, "label_loss")):
        assert f"avbook.unsupervised.label_contrast.{name}" in implementations("cmlcl", number)
