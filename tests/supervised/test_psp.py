"""Positive sample propagation: properties, limits of its variants, options, losses and targets."""

import pytest
import torch
from ave_batches import clip_batch
from hypothesis import given, settings, strategies as st
from torch.nn import functional as F

from avbook.errors import AvbookError
from avbook.papers.schema import implementations
from avbook.supervised.avel import Encoder
from avbook.supervised.psp import (
    PSP,
    Fusion,
    PositiveSamplePropagation,
    PSPMethod,
    StaleTargets,
    avps_loss,
    avps_targets,
    l1_normalise,
    pair_similarity,
    propagate,
    segment_similarity,
    threshold_affinity,
)

SMALL = dict(
    audio_dim=6,
    visual_dim=5,
    positions=4,
    categories=2,
    attention_dim=8,
    bottleneck=7,
    width=6,
    hidden=3,
    head=8,
)
VARIANTS = ["psp", "wpsp", "asp", "sapsp", "none"]


def features(seed=0, batch=2, seconds=6, dim=8):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(batch, seconds, dim, generator=g), torch.randn(
        batch, seconds, dim, generator=g
    )


def module(seed=0, **options):
    torch.manual_seed(seed)
    return PositiveSamplePropagation(8, **options).eval()


def matrices():
    hundredths = st.integers(-300, 300).map(
        lambda n: n / 100
    )  # never so small that the guard against empty rows counts
    return st.lists(st.lists(hundredths, min_size=4, max_size=4), min_size=3, max_size=3).map(
        torch.tensor
    )


@given(matrices())
def test_row_shares_sum_to_one_or_stay_empty(x):
    sums = l1_normalise(x).abs().sum(-1)
    for total, share in zip(x.abs().sum(-1), sums):
        if total == 0:
            assert share == 0
        else:
            assert share == pytest.approx(1, abs=1e-5)


@given(matrices(), st.floats(0, 1))
def test_cut_keeps_no_weak_pair_and_rows_sum_to_one_or_zero(x, tau):
    beta = l1_normalise(x.relu())
    gamma = threshold_affinity(beta, tau)
    assert ((gamma > 0) <= (beta > tau)).all()
    assert (gamma[beta > tau] >= beta[beta > tau] * 0.999).all()
    for row in gamma.sum(-1).tolist():
        assert row == pytest.approx(0, abs=1e-6) or row == pytest.approx(1, abs=1e-3)


def test_strictness_decides_a_tie_and_renormalising_is_a_choice():
    beta = torch.tensor([[0.25, 0.5, 0.25]])
    assert threshold_affinity(beta, 0.25).tolist() == [[0, pytest.approx(1), 0]]
    assert threshold_affinity(beta, 0.25, strict=False).tolist() == [
        [pytest.approx(0.25), pytest.approx(0.5), pytest.approx(0.25)]
    ]
    assert threshold_affinity(beta, 0.25, renormalise=False).tolist() == [[0, 0.5, 0]]


def test_equal_similarities_are_why_tau_sits_just_below_a_tenth():
    even = torch.full((1, 10, 10), 0.1)
    assert (threshold_affinity(even, 0.095) > 0).all() and (
        threshold_affinity(even, 0.115) == 0
    ).all()


def test_similarity_and_propagation_by_hand():
    v, a = torch.tensor([[[1.0, 2.0], [0.0, 1.0]]]), torch.tensor([[[3.0, 1.0], [-1.0, 0.0]]])
    expected = torch.tensor([[[5.0, -1.0], [1.0, 0.0]]]) / 2**0.5
    torch.testing.assert_close(pair_similarity(v, a), expected)
    gamma = torch.tensor([[[0.0, 1.0], [0.5, 0.5]]])
    assert propagate(gamma, a, v).tolist() == [[[0.0, 2.0], [1.0, 1.5]]]


def test_wpsp_is_psp_at_zero_and_asp_keeps_what_relu_would_cut():
    v, a = features()
    for project in ("code", "paper"):
        psp, wpsp, asp = (
            module(prune=p, tau=t, project=project)
            for p, t in (("psp", 0.0), ("wpsp", 0.5), ("asp", 0.5))
        )
        one, two, three = psp(v, a), wpsp(v, a), asp(v, a)
        assert torch.equal(one["v_psp"], two["v_psp"]) and torch.equal(
            one["gamma_av"], two["gamma_av"]
        )
        if (
            project == "code"
        ):  # ReLU made every similarity non-negative: there is nothing left for ASP to keep
            assert (one["similarity"] >= 0).all()
            torch.testing.assert_close(two["v_psp"], three["v_psp"])
        else:
            assert (three["gamma_va"] < 0).any() and not torch.allclose(
                two["v_psp"], three["v_psp"]
            )


def test_a_huge_threshold_leaves_the_features_alone():
    v, a = features()
    out, nothing = module(tau=2.0)(v, a), module(prune="none")(v, a)
    assert torch.equal(out["v_psp"], v) and torch.equal(out["a_psp"], a)
    assert torch.equal(nothing["v_psp"], v) and torch.equal(nothing["a_psp"], a)
    assert not list(module(prune="none").parameters())


@given(st.permutations(range(6)), st.sampled_from(["psp", "wpsp", "asp"]))
@settings(max_examples=25, deadline=None)
def test_propagation_knows_no_order(order, prune):
    v, a = features()
    net, order = module(prune=prune), torch.tensor(order)
    out, moved = net(v, a), net(v[:, order], a[:, order])
    for name in ("v_psp", "a_psp"):
        torch.testing.assert_close(out[name][:, order], moved[name], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        out["gamma_va"][:, order][:, :, order], moved["gamma_va"], atol=1e-5, rtol=0
    )


def test_each_direction_has_its_own_rows():
    out = module()(*features())
    torch.testing.assert_close(out["beta_va"].sum(-1), torch.ones(2, 6))
    torch.testing.assert_close(out["beta_av"], l1_normalise(out["similarity"].mT.relu()))
    assert not torch.allclose(out["beta_av"], out["beta_va"].mT)


def test_projections_of_the_paper_are_linear():
    v, a = features()
    net = module(project="paper", prune="asp")
    torch.testing.assert_close(net(2 * v, a)["similarity"], 2 * net(v, a)["similarity"])
    assert not torch.allclose(
        module(prune="asp")(-v, a)["similarity"], -module(prune="asp")(v, a)["similarity"]
    )
    train = PositiveSamplePropagation(8, dropout=0.5).train()
    assert not torch.equal(train(v, a)["v_psp"], train(v, a)["v_psp"])


def test_fusion_is_the_mean_of_two_normalised_halves():
    v, a = features()
    out = Fusion(8, third=False)(v, a)
    torch.testing.assert_close(
        out["fusion"],
        (F.layer_norm(v, (8,), eps=1e-6) + F.layer_norm(a, (8,), eps=1e-6)) / 2,
        atol=1e-5,
        rtol=0,
    )
    torch.testing.assert_close(
        out["similarity_avps"], segment_similarity(out["v_final"], out["a_final"])
    )
    assert (
        len(list(Fusion(8).parameters())) == 4
        and len(list(Fusion(8, third=False).parameters())) == 2
    )


@pytest.mark.parametrize("weak", [False, True])
@pytest.mark.parametrize("prune", VARIANTS)
def test_every_variant_in_both_settings_runs_learns_and_uses_its_weights(weak, prune):
    torch.manual_seed(0)
    batch, net, method = (
        clip_batch(),
        PSP(**SMALL, weak=weak, prune=prune, dropout=0.0),
        PSPMethod(weak=weak, lam=1.0),
    )
    out = net(batch)
    assert (
        out["scores"].shape == (3, 4, 3)
        and out["fusion"].shape == (3, 4, 6)
        and out["attention"].shape == (3, 4, 4)
    )
    assert out["similarity_avps"].shape == (3, 4)
    assert ("video_scores" in out) == weak and ("gamma_va" in out) == (prune != "none")
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    first = None
    for _ in range(40):
        loss, parts = method.loss(net, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first = float(loss.detach()) if first is None else first
        assert all(parameter.grad is not None for parameter in net.parameters())
    assert float(loss.detach()) < 0.9 * first
    assert list(parts) == (["bce"] if weak else ["ce", "avps"])


def test_settings_share_one_network():
    """Weak with the full model's choices and no branch gives the full model's scores."""
    torch.manual_seed(0)
    full = PSP(**SMALL).eval()
    weak = PSP(
        **SMALL, weak=True, renormalise=True, third=True, inputs="two-layer", weighting=False
    ).eval()
    weak.load_state_dict(full.state_dict())
    batch = clip_batch()
    one, two = full(batch), weak(batch)
    assert torch.equal(one["scores"], two["scores"])
    torch.testing.assert_close(two["video_scores"], one["scores"].mean(1).softmax(-1))


def test_what_the_two_released_models_differ_in():
    full, weak = PSP(**SMALL), PSP(**SMALL, weak=True)
    assert full.propagation.renormalise and not weak.propagation.renormalise
    full, weak = (
        {name.rsplit(".", 1)[0] for name, _ in net.named_parameters()} for net in (full, weak)
    )
    names = full ^ weak
    assert names == {
        "encoder.audio_in.0",
        "encoder.audio_in.1",
        "encoder.visual_in.0",
        "encoder.visual_in.1",
        "encoder.visual_in",
        "fusion.v3",
        "fusion.a3",
        "head.weight",
    }


def test_self_attention_comes_before_the_lstms():
    assert PSP(**SMALL, prune="sapsp").encoder.audio_self.query.in_features == 6
    assert sum(p.numel() for p in PSP(**SMALL, prune="sapsp").parameters()) > sum(
        p.numel() for p in PSP(**SMALL).parameters()
    )
    assert Encoder(self_attention=True).visual_self.query.in_features == 512


def test_unknown_options_are_named():
    with pytest.raises(AvbookError, match="'pps'.*'sapsp'"):
        PSP(**SMALL, prune="pps")
    with pytest.raises(AvbookError, match="'code' or 'paper'"):
        PSP(**SMALL, project="both")


def test_no_gradient_to_the_features():
    batch = clip_batch()
    batch["audio"].requires_grad_(), batch["visual"].requires_grad_()
    PSPMethod().loss(PSP(**SMALL), batch)[0].backward()
    assert batch["audio"].grad is None and batch["visual"].grad is None


def one_hot(rows):
    return F.one_hot(torch.tensor(rows), 3).float()


def test_targets():
    rows = one_hot([[0, 0, 2, 2], [2, 1, 2, 2], [2, 2, 2, 2], [1, 1, 1, 1]])
    assert avps_targets(rows).tolist() == [[0.5, 0.5, 0, 0], [0, 1, 0, 0], [0.25] * 4, [0.25] * 4]


def test_stale_targets_remember_what_fresh_ones_forget():
    stale = StaleTargets()
    first, second = one_hot([[0, 0, 2, 2], [1, 2, 2, 2]]), one_hot([[2, 2, 2, 1]])
    torch.testing.assert_close(stale(first), avps_targets(first))
    assert stale(second).tolist() == [[0.5, 0.5, 0, 1]]  # a smaller batch; the row sums to 2
    assert stale(first)[1].tolist() == [1, 0, 0, 0]
    larger = one_hot([[2, 0, 2, 2]] * 3)
    assert stale(larger)[2].tolist() == [0, 1, 0, 0]


def test_stale_targets_only_in_training():
    net, batch = PSP(**SMALL, dropout=0.0), clip_batch()
    fresh, stale = PSPMethod(), PSPMethod(stale_targets=True)
    other = clip_batch(seed=5)
    stale.loss(net, other)
    assert stale.loss(net, batch)[1]["avps"] != fresh.loss(net, batch)[1]["avps"]
    net.eval()
    assert stale.loss(net, batch)[1]["avps"] == fresh.loss(net, batch)[1]["avps"]


def test_pair_loss_is_least_when_similarity_follows_the_event():
    targets = avps_targets(one_hot([[0, 0, 2, 2]]))
    assert float(avps_loss(torch.tensor([[0.3, 0.3, -0.9, 0.0]]), targets)) < 1e-12
    assert float(avps_loss(torch.tensor([[0.2, 0.2, 0.2, 0.2]]), targets)) == pytest.approx(
        4 * 0.25**2 / 4
    )
    signed = torch.tensor([[0.3, 0.3, -0.3, 0.0]])
    assert float(avps_loss(signed, targets, literal=True)) == pytest.approx(
        (2 * (1 / 6) ** 2 + (1 / 3) ** 2) / 4, rel=1e-5
    )


def test_literal_equation_8_is_the_product_and_depends_on_length():
    v, a = features()
    torch.testing.assert_close(
        segment_similarity(v, a, literal=True), torch.einsum("btd,btd->bt", v, a)
    )
    torch.testing.assert_close(segment_similarity(3 * v, a), segment_similarity(v, a))
    batch, net = clip_batch(), PSP(**SMALL, dropout=0.0)
    assert (
        PSPMethod(literal=True).loss(net, batch)[1]["avps"]
        != PSPMethod().loss(net, batch)[1]["avps"]
    )


def test_half_precision_keeps_the_cut_in_single():
    net, batch = PSP(**SMALL).eval(), clip_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = net(batch)
        loss, _ = PSPMethod().loss_of(out, batch, training=False)
        weak = PSPMethod(weak=True).loss(PSP(**SMALL, weak=True), batch)[0]
    assert out["gamma_va"].dtype == torch.float32 and loss.isfinite() and weak.isfinite()
    torch.testing.assert_close(out["scores"].float(), net(batch)["scores"], atol=0.1, rtol=0.1)


def test_scores_against_the_split():
    pytest.importorskip("avbook.metrics.ave")

    class Split:
        labels = clip_batch()["labels"].numpy()

    figures = PSPMethod().score(torch.from_numpy(Split.labels).argmax(-1), Split)
    assert figures[PSPMethod.monitor] == pytest.approx(100)


def test_all_eleven_equations_have_an_implementation():
    for number in range(1, 12):
        assert implementations("psp", number), number


def test_frozen_batches_are_the_released_weak_loaders():
    method = PSPMethod(weak=True, frozen_batches=True)
    first, second = (method.batches(range(70), epoch, seed=0, batch_size=16) for epoch in (1, 2))
    assert [len(rows) for rows in first] == [16] * 4 and len(set(first[0])) == 16
    assert (
        all((one == two).all() for one, two in zip(first[1:], second[1:]))
        and (first[0] != second[0]).any()
    )
    assert sorted(row for rows in first[1:] for row in rows) == list(range(16, 64))
    assert not hasattr(PSPMethod(weak=True), "batches")


def test_stale_targets_go_with_a_checkpoint():
    one, two, labels = (
        PSPMethod(stale_targets=True),
        PSPMethod(stale_targets=True),
        one_hot([[0, 2, 2, 2]]),
    )
    assert one.state_dict() == {}
    one.stale(labels)
    two.load_state_dict(one.state_dict())
    later = one_hot([[2, 2, 2, 0]])
    assert one.stale(later).tolist() == two.stale(later).tolist() == [[1, 0, 0, 1]]
    two.load_state_dict({})
    assert two.stale(later).tolist() == [[0, 0, 0, 1]]


def test_papers_layers_are_linear_in_the_whole_network():
    v, a = features(dim=6)
    for project, after in (("paper", lambda x: x), ("code", torch.relu)):
        net = PSP(**SMALL, project=project).eval()
        expected = F.layer_norm(after(net.fusion.v3(v)), (6,), eps=1e-6)
        torch.testing.assert_close(net.fusion(v, a)["v_final"], expected)
        lower = net.propagation(v, a)["similarity"].min()
        assert (lower < 0) == (project == "paper")


def test_literal_loss_takes_eq_3_features_and_keeps_signs():
    batch, net = clip_batch(), PSP(**SMALL, dropout=0.0)
    out = net(batch)
    product = (out["v_psp"] * out["a_psp"]).sum(-1)
    expected = (
        (product / product.abs().sum(-1, keepdim=True) - avps_targets(batch["labels"])) ** 2
    ).mean()
    assert (product < 0).any()
    torch.testing.assert_close(
        PSPMethod(literal=True).loss_of(out, batch, training=True)[1]["avps"], expected.detach()
    )
