"""CMRAN: its attentions by hand and at their limits, both heads, both losses, what each depends
on."""

import math
from functools import partial

import ave_batches
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from avbook.errors import AvbookError
from avbook.supervised.avel import video_loss
from avbook.supervised.cmran import (
    CMRAN,
    AVInteraction,
    CMRANHead,
    CMRANMethod,
    Relation,
    RelationLayer,
    SpatialChannelAttention,
    full_losses,
    segment_scores,
    video_tags,
    weak_loss,
)

SMALL = dict(
    audio_dim=6,
    visual_dim=5,
    categories=2,
    adapted=7,
    attention_dim=8,
    bottleneck=6,
    spatial_dim=5,
    width=8,
    feed=12,
)

clip_batch = partial(ave_batches.clip_batch, grid=(2, 3))  # height and width apart


def built(seed=0, **options):
    torch.manual_seed(seed)
    return CMRAN(**SMALL | options).eval()


# -------------------------------------------------------------------------------------- attention
def test_the_attention_is_its_equations_word_by_word():
    torch.manual_seed(0)
    net = SpatialChannelAttention(6, 5, 8, 7, 4)
    audio, visual = torch.randn(2, 3, 6), torch.rand(2, 3, 2, 3, 5)
    attended, weights, scale = net(audio, visual)
    for b, t in np.ndindex(2, 3):
        a, v = audio[b, t], visual[b, t].reshape(6, 5)
        asked = (net.channel_audio(a).relu() * net.channel_visual(v).relu()).mean(0)
        s = 1 + net.channel_score(net.bottleneck(asked).relu()).sigmoid()
        scaled = v * s
        fits = net.spatial_audio(a).relu() * net.spatial_visual(scaled).relu()
        m = net.spatial_score(fits).tanh().squeeze(-1).softmax(0)
        torch.testing.assert_close(scale[b, t], s)
        torch.testing.assert_close(weights[b, t].flatten(), m)
        torch.testing.assert_close(attended[b, t], m @ scaled)


def test_no_position_weighs_more_than_the_tanh_lets_it():
    net = SpatialChannelAttention(6, 5, 8, 7, 4)
    with torch.no_grad():
        net.spatial_score.weight.mul_(1e4)
        _, weights, scale = net(10 * torch.randn(9, 3, 6), 10 * torch.rand(9, 3, 7, 7, 5))
    flat = weights.flatten(-2)
    torch.testing.assert_close(flat.sum(-1), torch.ones(9, 3))
    assert float((flat.amax(-1) / flat.amin(-1)).max()) <= math.e**2 * (1 + 1e-5)
    assert float(flat.max()) <= math.e**2 / (math.e**2 + 48) + 1e-6
    assert float(scale.min()) >= 1 and float(scale.max()) <= 2


def test_positions_have_no_order_and_other_segments_no_say():
    torch.manual_seed(0)
    net = SpatialChannelAttention(6, 5)
    audio, visual = torch.randn(1, 3, 6), torch.rand(1, 3, 2, 3, 5)
    attended, weights, _ = net(audio, visual)
    turned = net(audio, visual.flip(2, 3))
    torch.testing.assert_close(turned[0], attended)
    torch.testing.assert_close(turned[1].flip(2, 3), weights)
    audio[:, 2] += 1
    moved = net(audio, visual)[0] != attended
    assert moved[:, 2].all() and not moved[:, :2].any()


# --------------------------------------------------------------------------------------- relations
def test_a_relation_layer_is_pytorchs_encoder_layer():
    torch.manual_seed(0)
    ours, theirs = RelationLayer(8, 2, 12), nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
    names = {"attention": "self_attn", "hidden": "linear1", "out": "linear2"}
    names |= {"first": "norm1", "second": "norm2"}
    for name, other in names.items():
        getattr(theirs, other).load_state_dict(getattr(ours, name).state_dict())
    x = torch.randn(3, 4, 8)
    out, weights = ours.eval()(x, x)
    torch.testing.assert_close(out, theirs.eval()(x))
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4))


def test_a_relation_by_loops():
    torch.manual_seed(0)
    net = Relation(5, 8, 1, 12, layers=1).eval()
    own, other = torch.randn(5), torch.randn(1, 3, 8)
    query = net.project(own)
    layer, (wq, wk, wv), (bq, bk, bv) = (
        net.layers[0],
        net.layers[0].attention.in_proj_weight.chunk(3),
        net.layers[0].attention.in_proj_bias.chunk(3),
    )
    memory = [*other[0], query]
    scores = [(wq @ query + bq) @ (wk @ m + bk) / math.sqrt(8) for m in memory]
    shares = torch.stack(scores).softmax(0)
    found = layer.attention.out_proj(sum(s * (wv @ m + bv) for s, m in zip(shares, memory)))
    x = layer.first(query + found)
    expected = layer.second(x + layer.out(layer.hidden(x).relu()))
    out, weights = net(own.view(1, 1, 5), other)
    torch.testing.assert_close(out[0, 0], expected)
    torch.testing.assert_close(weights[0, 0], shares)


def test_layers_start_alike_and_learn_apart():
    net = Relation(5, 8, 2, 12, layers=2)
    first, second = (layer.state_dict() for layer in net.layers)
    assert all(torch.equal(first[name], second[name]) for name in first)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    net(torch.randn(2, 3, 5))[0].square().sum().backward()
    optimizer.step()
    assert not torch.equal(net.layers[0].out.weight, net.layers[1].out.weight)


def test_segments_have_no_order():
    """There are no positions in time: shuffled segments give shuffled scores."""
    net, batch = built(), clip_batch(seconds=6)
    order = torch.randperm(6)
    moved = {name: batch[name][:, order] for name in ("audio", "visual")}
    with torch.no_grad():
        out, shuffled = net(batch), net(moved)
    for name in ("scores", "v_across", "a_across", "fusion"):
        torch.testing.assert_close(shuffled[name], out[name][:, order], atol=1e-5, rtol=1e-5)


def test_each_clip_is_by_itself_and_each_segment_hears_all_others():
    net, batch = built(), clip_batch()
    with torch.no_grad():
        before = net(batch)
        batch["audio"][0, 3] += 1
        after = net(batch)
    for name in ("v_across", "a_across", "fusion", "scores"):
        changed = (after[name] != before[name]).flatten(2).any(-1)
        assert changed[0].all() and not changed[1:].any(), name
    assert torch.equal(after["v_within"], before["v_within"]) is False  # the sound guides the eye
    assert torch.equal(after["v_within"][1:], before["v_within"][1:])


def test_the_memory_is_the_other_modality_then_the_own_query():
    net, batch = built(), clip_batch()
    with torch.no_grad():
        out = net(batch)
        query = net.visual_across.project(out["v_attended"])
        layer = net.visual_across.layers[0]
        expected, weights = layer(query, torch.cat([out["a_within"], query], 1))
        torch.testing.assert_close(out["v_across"], expected)
        torch.testing.assert_close(out["relation_v"], weights)
        asked = net.audio_across.project(batch["audio"])
        expected, _ = net.audio_across.layers[0](asked, torch.cat([out["v_within"], asked], 1))
        torch.testing.assert_close(out["a_across"], expected)
    assert out["relation_v"].shape == out["relation_a"].shape == (3, 4, 8)


def test_the_interaction_asks_by_the_product():
    torch.manual_seed(0)
    net = AVInteraction(8, 2).eval()
    a, v = torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    memory = torch.cat([a, v], 1)
    expected = net.norm(a * v + net.attention(a * v, memory, memory)[0])
    torch.testing.assert_close(net(a, v), expected)
    torch.testing.assert_close(net(v, a), expected)


# -------------------------------------------------------------------------------------------- heads
def decision(relevance, category, background):
    """CMRAN's rule, as the released code has it: background where not σ(r) > 0.5."""
    best = category.argmax(-1)
    return torch.where(relevance.sigmoid() > 0.5, best[:, None], background)


@pytest.mark.parametrize("weak", [False, True])
def test_the_largest_score_is_the_decision(weak):
    g = torch.Generator().manual_seed(0)
    relevance = torch.randn(200, 5, generator=g)
    category = torch.randn(200, 3 + weak, generator=g)
    scores = segment_scores(relevance, category, 3)
    assert scores.shape == (200, 5, 4)
    found = decision(relevance, category, torch.tensor(3))
    assert torch.equal(scores.argmax(-1), found) and len(found.unique()) == 4
    shares = scores.softmax(-1)
    torch.testing.assert_close(
        shares[..., :3] / shares[..., :1],
        (category[:, None, :3] - category[:, None, :1]).exp().expand(-1, 5, -1),
    )


def test_the_weak_head_takes_the_largest_weighted_score_over_time():
    torch.manual_seed(0)
    head, fusion = CMRANHead(8, 2, weak=True), torch.randn(2, 4, 8)
    out = head(fusion)
    category = head.category(fusion.max(1).values)
    pooled = torch.stack(
        [(out["relevance"][b].sigmoid()[:, None] * category[b]).max(0).values for b in range(2)]
    )
    assert out["category"].shape == (2, 3)
    torch.testing.assert_close(out["category"], category)
    torch.testing.assert_close(out["video_scores"], pooled.softmax(-1))
    full = CMRANHead(8, 2)(fusion)
    assert full["category"].shape == (2, 2) and "video_scores" not in full


# ------------------------------------------------------------------------------------------- losses
def test_full_losses_by_hand():
    labels = F.one_hot(torch.tensor([[0, 2, 2], [1, 1, 2], [2, 2, 2]]), 3).float()
    relevance = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [1.0, -1.0, 0.0]])
    category = torch.tensor([[1.0, -1.0], [0.5, 0.0], [9.0, -9.0]])
    is_event = labels[..., :2].sum(-1)
    p = relevance.sigmoid()
    by_hand = -(is_event * p.log() + (1 - is_event) * (1 - p).log()).mean()
    found, named = full_losses(relevance, category, labels)
    torch.testing.assert_close(found, by_hand)
    chosen = -category.log_softmax(-1)
    torch.testing.assert_close(named, (chosen[0, 0] + chosen[1, 1]) / 2)
    nothing = full_losses(relevance[2:], category[2:], labels[2:])
    assert float(nothing[1]) == 0 and all(part.isfinite() for part in nothing)
    assert full_losses(relevance.bfloat16(), category.bfloat16(), labels)[0].dtype == torch.float32


def test_tags_are_the_categories_and_background_only_where_there_is_none():
    shares = torch.tensor([[0.3, 0.0, 0.7], [0.0, 0.0, 1.0], [0.1, 0.9, 0.0], [0.5, 0.4, 0.1]])
    kept = shares.clone()
    assert video_tags(shares).tolist() == [[1, 0, 0], [0, 0, 1], [1, 1, 0], [1, 1, 0]]
    assert torch.equal(shares, kept)


def test_tags_are_the_official_ones(data_dir):
    """What is made from our shares is what mil_labels.h5 holds."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(data_dir / "ave" / "mil_labels.h5") as file:
        official = torch.from_numpy(file["avadataset"][:])
    rebuilt = np.load(data_dir / "ave" / "ave_labels_rebuilt.npz")
    labels = torch.from_numpy(rebuilt[rebuilt.files[0]]).float()
    some = labels[..., :-1].flatten(1).any(-1)  # one row of the official file has an empty event
    assert torch.equal(video_tags(labels.mean(1))[some], official[some]) and int((~some).sum()) <= 1


def test_the_weak_loss_is_pytorchs_multi_label_soft_margin():
    p, y = torch.rand(5, 3).softmax(-1), (torch.rand(5, 3) > 0.5).float()
    torch.testing.assert_close(weak_loss(p, y), nn.MultiLabelSoftMarginLoss()(p, y))
    torch.testing.assert_close(weak_loss(p, y, double_sigmoid=False), video_loss(p, y))
    perfect, even = torch.eye(29)[:1], torch.full((1, 29), 1 / 29)
    assert float(weak_loss(perfect, perfect)) == pytest.approx(
        (math.log(1 + math.exp(-1)) + 28 * math.log(2)) / 29
    )
    assert 1 < float(weak_loss(even, perfect)) / float(weak_loss(perfect, perfect)) < 1.05


@pytest.mark.parametrize("weak", [False, True])
def test_it_learns_a_batch_and_every_weight_moves(weak):
    torch.manual_seed(0)
    batch, net = clip_batch(8), CMRAN(**SMALL, weak=weak, dropout=0.0, adapt_dropout=0.0)
    method = CMRANMethod(weak=weak, double_sigmoid=False)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    optimizer, first = torch.optim.Adam(net.parameters(), lr=0.01), None
    for _ in range(60):
        loss, parts = method.loss(net, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first = float(loss.detach()) if first is None else first
    still = [name for name, value in net.state_dict().items() if torch.equal(value, before[name])]
    assert not still
    assert float(loss.detach()) < first * (0.9 if weak else 0.6)
    assert list(parts) == (["bce"] if weak else ["relevance", "category"])
    assert not any(part.requires_grad for part in parts.values())
    assert method.predict(net, batch).shape == (8, 4)


def test_options_of_the_weak_loss_change_it_and_only_it():
    batch, net = clip_batch(), built(weak=True)
    losses = [
        float(CMRANMethod(True, double, targets).loss(net, batch)[0].detach())
        for double in (True, False)
        for targets in ("tags", "shares")
    ]
    assert len(set(losses)) == 4
    full = built()
    one, other = (CMRANMethod(double_sigmoid=double).loss(full, batch)[0] for double in (0, 1))
    assert torch.equal(one, other)
    with pytest.raises(AvbookError, match="'tags' or 'shares'"):
        CMRANMethod(weak=True, targets="both")


def test_no_gradient_to_the_features_and_heads_that_do_not_fit():
    batch = clip_batch()
    batch["audio"].requires_grad_(), batch["visual"].requires_grad_()
    CMRANMethod().loss(built(), batch)[0].backward()
    assert batch["audio"].grad is None and batch["visual"].grad is None
    with pytest.raises(AvbookError, match="width=8, heads=3"):
        built(heads=3)
    with pytest.raises(AvbookError, match="width=8, heads=5"):
        built(fusion_heads=5)


def test_the_two_released_networks():
    """Sizes as released; the interaction has four heads in the full one, two in the weak one."""
    with torch.device("meta"):
        full, weak = CMRAN(), CMRAN(weak=True)
    assert full.interaction.attention.num_heads == 4 and weak.interaction.attention.num_heads == 2
    assert full.head.category.out_features == 28 and weak.head.category.out_features == 29
    counts = [sum(weight.numel() for weight in net.parameters()) for net in (full, weak)]
    assert counts == [9_509_150, 9_509_407]  # the weak one's: of the golden arrays


def test_dropout_stands_where_it_does_in_the_released_code():
    net, batch = built(), clip_batch()
    net.train()
    assert not torch.equal(net(batch)["v_attended"], net(batch)["v_attended"])
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    torch.manual_seed(1)
    one = net(batch)
    assert torch.equal(one["v_attended"], net(batch)["v_attended"])
    assert not torch.equal(one["a_within"], net(batch)["a_within"])  # of the attention weights
    for module in net.modules():
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    torch.testing.assert_close(net(batch)["scores"], net.eval()(batch)["scores"])


@pytest.mark.parametrize("weak", [False, True])
def test_half_precision(weak):
    net, batch = built(weak=weak), clip_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = net(batch)
        loss, _ = CMRANMethod(weak=weak).loss(net, batch)
    loss.backward()
    assert loss.isfinite() and loss.dtype == torch.float32
    torch.testing.assert_close(out["scores"].float(), net(batch)["scores"], atol=0.1, rtol=0.1)
