"""CMLCL's representation: each equation against NumPy, limits, what the ablations cut, and that no
label is ever looked at."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from avbook.errors import AvbookError
from avbook.papers.schema import implementations
from avbook.unsupervised.pretraining import (
    MemoryBank,
    PretextMethod,
    pretrain,
    segment_features,
)
from avbook.unsupervised.representation import (
    AVBackbone,
    CollaborativeAttention,
    SpatialAttention,
    decorrelation,
    instance_discrimination,
    pooled,
    pretext_terms,
)

OWN, CROSS = "own", "cross"
TINY = dict(hidden=8, heads=2, epochs=3, batch_size=4, device="cpu", progress=False)


class Clips:
    """Clips in memory with the interface of a split; whoever takes a label out of a batch is caught
    where `closed`."""

    def __init__(self, n=10, seed=0, closed=False, dv=5, labels=None):
        g = torch.Generator().manual_seed(seed)
        self.audio, self.visual = (
            torch.randn(n, 4, 6, generator=g),
            torch.rand(n, 4, 2, 3, dv, generator=g),
        )
        self.labels = torch.randint(0, 3, (n, 4), generator=g) if labels is None else labels
        self.closed = closed

    def __len__(self):
        return len(self.audio)

    def batch(self, indices):
        at = torch.as_tensor(np.asarray(indices), dtype=torch.long)
        return Watched(
            self.closed,
            audio=self.audio[at],
            visual=self.visual[at],
            labels=self.labels[at],
            video_labels=self.labels[at],
        )

    def subset(self, indices):
        made = Clips.__new__(Clips)
        at = torch.as_tensor(indices)
        made.audio, made.visual, made.labels, made.closed = (
            self.audio[at],
            self.visual[at],
            self.labels[at],
            self.closed,
        )
        return made


class Watched(dict):
    def __init__(self, closed, **fields):
        super().__init__(**fields)
        self.closed = closed

    def __getitem__(self, key):
        assert not (self.closed and "label" in key), "a label was read"
        return super().__getitem__(key)

    def items(self):
        assert not self.closed, "all fields were read, labels among them"
        return super().items()


def batch(b=3, dv=5, seed=0):
    clips = Clips(b, seed, dv=dv)
    return {"audio": clips.audio, "visual": clips.visual, "rows": torch.arange(b)}


def built(cls, *args, seed=0, **options):
    torch.manual_seed(seed)
    return cls(*args, **options)


def units(n, d, seed=0, dtype=torch.float32):
    return F.normalize(
        torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype), dim=1
    )


def array(x):
    return x.detach().numpy().astype(np.float64)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# ------------------------------------------------------------------------------------------ Eq. 1-2
def test_spatial_attention_is_equation_1_and_2():
    net, b = built(SpatialAttention, 5, 6, 4), batch()
    attended, weights = net(b["audio"], b["visual"])
    Wa, ba, Wv, bv, Wav = (
        array(x)
        for x in (
            net.audio.weight,
            net.audio.bias,
            net.visual.weight,
            net.visual.bias,
            net.score.weight,
        )
    )
    audio, visual = array(b["audio"]), array(b["visual"])
    for i in range(3):
        for t in range(4):
            pixels = visual[i, t].reshape(6, 5)
            both = np.maximum(Wa @ audio[i, t] + ba, 0) * np.maximum(
                pixels @ Wv.T + bv, 0
            )  # the Hadamard product, position by position
            share = softmax(both @ Wav[0])
            np.testing.assert_allclose(array(weights[i, t]).ravel(), share, rtol=1e-5)
            np.testing.assert_allclose(array(attended[i, t]), share @ pixels, rtol=1e-5)


def test_spatial_attention_reads_half_precision_and_sends_no_gradient_to_the_features():
    net, b = built(SpatialAttention, 5, 6, 4), batch()
    visual = b["visual"].half()
    attended, weights = net(b["audio"].half(), visual)
    torch.testing.assert_close(attended, net(b["audio"].half().float(), visual.float())[0])
    assert attended.dtype == weights.dtype == torch.float32
    visual = b["visual"].requires_grad_()
    net(b["audio"], visual)[0].sum().backward()
    assert visual.grad is None and net.visual.weight.grad is not None


def test_equal_positions_are_weighted_equally():
    net, b = built(SpatialAttention, 5, 6, 4), batch()
    same = b["visual"][:, :, :1, :1].expand(-1, -1, 2, 3, -1)
    attended, weights = net(b["audio"], same)
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 6))
    torch.testing.assert_close(attended, same[:, :, 0, 0])


# ------------------------------------------------------------------------------------------ Eq. 3-5
def attention_by_numpy(net, own, other, heads):
    m = own if net.source == "own" else np.concatenate([other, own], -1)
    q, k, v = (
        x @ array(layer.weight).T + array(layer.bias)
        for x, layer in ((m, net.query), (m, net.key), (own, net.value))
    )
    out, width = np.zeros_like(own), own.shape[-1] // heads
    for i in range(len(own)):
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            out[i][:, part] = (
                softmax(q[i][:, part] @ k[i][:, part].T / math.sqrt(width)) @ v[i][:, part]
            )
    return out


@pytest.mark.parametrize("source", ["both", "own"])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_collaborative_attention_is_equation_3(source, heads):
    net = built(CollaborativeAttention, 8, heads, residual=False, source=source)
    own, other = torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    np.testing.assert_allclose(
        array(net(own, other)),
        attention_by_numpy(net, array(own), array(other), heads),
        rtol=1e-4,
        atol=1e-5,
    )


def test_the_residual_form_mixes_adds_and_normalises():
    net = built(CollaborativeAttention, 8, 2)
    own, other = torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    y = (
        array(own)
        + attention_by_numpy(net, array(own), array(other), 2) @ array(net.mix.weight).T
        + array(net.mix.bias)
    )
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(array(net(own, other)), y, rtol=1e-4, atol=1e-5)


def test_own_attention_needs_no_other_and_equal_seconds_stay_equal():
    net = built(CollaborativeAttention, 8, 2, source="own")
    own = torch.randn(2, 5, 8)
    torch.testing.assert_close(net(own), net(own, torch.randn(2, 5, 8)))
    out = net(own[:, :1].expand(-1, 5, -1))
    torch.testing.assert_close(out, out[:, :1].expand(-1, 5, -1))


# ------------------------------------------------------------------------------------- the backbone
@pytest.mark.parametrize("dv", [512, 2048])
def test_shapes_for_both_official_widths(dv):
    net = built(AVBackbone, dv, 128, 16)
    out = net({"audio": torch.randn(2, 10, 128), "visual": torch.rand(2, 10, 7, 7, dv)})
    assert {name: tuple(x.shape) for name, x in out.items()} == {
        "v_attn": (2, 10, 16),
        "a_attn": (2, 10, 16),
        "attention": (2, 10, 7, 7),
    }
    features = net.features(out)
    assert (
        features.shape == (2, 10, 32)
        and torch.equal(features[..., :16], out["a_attn"])
        and torch.equal(features[..., 16:], out["v_attn"])
    )


def depends(net, name):
    """Which of sound and picture a track's features change with."""
    b = batch()
    before = net(b)[name]
    changed = {
        what: net({**b, what: b[what] + torch.randn_like(b[what])})[name]
        for what in ("audio", "visual")
    }
    return {what for what, after in changed.items() if not torch.allclose(before, after, atol=1e-6)}


@pytest.mark.parametrize(
    "options, v_sees, a_sees",
    [
        ({}, {"audio", "visual"}, {"audio", "visual"}),
        (
            dict(audio2visual=False),
            {"audio", "visual"},
            {"audio", "visual"},
        ),  # the sound still guides the spatial attention
        (dict(audio2visual=False, s_attn=False), {"visual"}, {"audio", "visual"}),
        (dict(visual2audio=False), {"audio", "visual"}, {"audio"}),
        (dict(audio2visual=False, visual2audio=False, s_attn=False), {"visual"}, {"audio"}),
    ],
)
@pytest.mark.parametrize("residual", [True, False])
def test_each_ablation_cuts_what_it_says(options, v_sees, a_sees, residual):
    net = built(AVBackbone, 5, 6, 8, 2, residual=residual, **options)
    assert (depends(net, "v_attn"), depends(net, "a_attn")) == (v_sees, a_sees)


def test_without_spatial_attention_places_do_not_matter_and_with_it_they_are_weighted():
    b = batch()
    b["audio"] = 5 * b["audio"]
    off, on = built(AVBackbone, 5, 6, 8, 2, s_attn=False), built(AVBackbone, 5, 6, 8, 2)
    shuffled = {**b, "visual": b["visual"].flip(2, 3)}
    torch.testing.assert_close(off(b)["v_attn"], off(shuffled)["v_attn"])
    torch.testing.assert_close(off(b)["attention"], torch.full((3, 4, 2, 3), 1 / 6))
    assert on(b)["attention"].std((2, 3)).max() > 1e-3
    torch.testing.assert_close(on(b)["attention"].flip(2, 3), on(shuffled)["attention"])


@pytest.mark.parametrize(
    "modality, there, absent",
    [("audio", {"a_attn"}, "visual"), ("visual", {"v_attn", "attention"}, "audio")],
)
def test_one_modality_alone(modality, there, absent):
    net = built(AVBackbone, 5, 6, 8, 2, modality=modality)
    b = batch()
    out = net({name: x for name, x in b.items() if name != absent})
    assert set(out) == there and net.features(out).shape == (3, 4, 8)
    assert not [
        name for name, p in net.named_parameters() if p.grad is None and name.startswith("spatial")
    ]


# -------------------------------------------------------------------------------------------- Eq. 6
def test_instance_discrimination_is_equation_6():
    x, bank, rows = units(4, 3), units(7, 3, seed=1), torch.tensor([5, 0, 2, 6])
    for tau in (1.0, 0.2):
        e = np.exp(array(x) @ array(bank).T / tau)
        expected = -np.mean([np.log(e[i, r] / e[i].sum()) for i, r in enumerate(rows.tolist())])
        assert float(instance_discrimination(x, bank, rows, tau)) == pytest.approx(
            expected, rel=1e-5
        )


def test_instance_discrimination_gradient_and_limits():
    x, bank, rows = (
        units(4, 3, dtype=torch.float64).requires_grad_(),
        units(7, 3, seed=1, dtype=torch.float64),
        torch.tensor([5, 0, 2, 6]),
    )
    assert gradcheck(lambda x: instance_discrimination(x, bank, rows, 0.5), x)
    same = units(1, 3).expand(6, 3)
    assert float(instance_discrimination(same, same, torch.arange(6))) == pytest.approx(
        math.log(6)
    )  # nothing tells them apart
    assert float(
        instance_discrimination(same[:1], same[:1], torch.zeros(1, dtype=torch.long))
    ) == pytest.approx(0, abs=1e-6)  # one video
    bank.requires_grad_()
    instance_discrimination(x, bank, rows).backward()
    assert bank.grad is None and x.grad.abs().sum() > 0


# -------------------------------------------------------------------------------------------- Eq. 7
def test_the_three_decorrelations_by_numpy():
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    columns = array(x) / np.linalg.norm(array(x), axis=0)
    videos = array(x) / np.linalg.norm(array(x), axis=1, keepdims=True)
    gram = columns.T @ columns
    soft = np.mean([np.log(np.exp(gram[k] / 2).sum()) - gram[k, k] / 2 for k in range(3)])
    assert float(decorrelation(x)) == pytest.approx(soft, rel=1e-5)
    assert float(decorrelation(x, form="hard")) == pytest.approx(
        ((gram - np.eye(3)) ** 2).sum(), rel=1e-5
    )
    assert float(decorrelation(x, form="videos")) == pytest.approx(
        ((videos @ videos.T - np.eye(5)) ** 2).sum(), rel=1e-5
    )
    assert float(decorrelation(x, tau2=0.5)) != pytest.approx(soft, rel=1e-2)


@pytest.mark.parametrize("form", ["soft", "hard", "videos"])
def test_decorrelation_gradients(form):
    x = torch.randn(
        5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    assert gradcheck(lambda x: decorrelation(x, form=form), x)


def test_decorrelation_limits():
    orthogonal = torch.linalg.qr(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))[0]
    assert float(decorrelation(orthogonal, form="hard")) == pytest.approx(0, abs=1e-5)
    assert float(decorrelation(orthogonal)) == pytest.approx(
        math.log(3 + math.exp(0.5)) - 0.5, rel=1e-5
    )
    same = torch.ones(6, 4)
    assert float(decorrelation(same)) == pytest.approx(math.log(4)) and float(
        decorrelation(same, form="hard")
    ) == pytest.approx(12)
    assert float(decorrelation(same, form="videos")) == pytest.approx(30)
    assert float(decorrelation(torch.eye(4)[:3], form="videos")) == pytest.approx(
        0, abs=1e-6
    )  # other videos, other features
    for form in ("soft", "hard", "videos"):
        for x in (torch.randn(1, 4), torch.zeros(3, 4)):  # one video; nothing at all
            x.requires_grad_()
            loss = decorrelation(x, form=form)
            loss.backward()
            assert loss.isfinite() and x.grad.isfinite().all()


# ---------------------------------------------------------------------------------- views and banks
def test_pooling_without_views_is_the_unit_mean():
    x = torch.randn(3, 4, 5)
    mean = array(x).mean(1)
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(array(pooled(x)), expected, rtol=1e-5)
    torch.testing.assert_close(pooled(x, "dropout", train=False), pooled(x))


@pytest.mark.parametrize("seconds, kept", [(10, 5), (5, 2), (1, 1)])
def test_a_view_reads_half_of_the_seconds_each_as_often(seconds, kept):
    marked = torch.eye(seconds).expand(2000, seconds, seconds)  # second t has feature t alone
    found = pooled(marked, "dropout", drop=0.0, generator=torch.Generator().manual_seed(0))
    assert ((found > 0).sum(1) == kept).all()
    torch.testing.assert_close(
        (found > 0).float().mean(0), torch.full((seconds,), kept / seconds), atol=0.05, rtol=0
    )


def test_a_view_drops_a_fifth_of_the_features_and_is_a_unit_vector():
    g = torch.Generator().manual_seed(0)
    found = pooled(torch.rand(50, 10, 400) + 0.1, "dropout", generator=g)
    assert float((found == 0).float().mean()) == pytest.approx(0.2, abs=0.01)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(50))
    again = [
        pooled(torch.ones(4, 10, 30), "dropout", generator=torch.Generator().manual_seed(s))
        for s in (1, 1, 2)
    ]
    assert torch.equal(again[0], again[1]) and not torch.equal(again[0], again[2])


def test_the_bank_moves_its_rows_by_the_formula_and_no_others():
    bank, x, rows = built(MemoryBank, 5, 3), units(2, 3, seed=3), torch.tensor([4, 1])
    before = bank.vectors
    torch.testing.assert_close(before.norm(dim=1), torch.ones(5))
    bank.update(rows, x, momentum=0.9)
    moved = 0.9 * array(before)[[4, 1]] + 0.1 * array(x)
    np.testing.assert_allclose(
        array(bank.vectors)[[4, 1]], moved / np.linalg.norm(moved, axis=1, keepdims=True), rtol=1e-5
    )
    assert torch.equal(bank.vectors[[0, 2, 3]], before[[0, 2, 3]])
    bank.update(rows, x, momentum=0.0)
    torch.testing.assert_close(bank.vectors[rows], x)
    assert not torch.equal(built(MemoryBank, 5, 3).vectors, built(MemoryBank, 5, 3, seed=1).vectors)


# --------------------------------------------------------------------------------------- the method
def test_own_and_cross_positives():
    x = {"audio": units(3, 4), "visual": units(3, 4, 1)}
    banks, rows = {"audio": units(5, 4, 2), "visual": units(5, 4, 3)}, torch.tensor([0, 3, 4])
    for positives, of_audio, of_visual in ((OWN, "audio", "visual"), (CROSS, "visual", "audio")):
        terms = pretext_terms(x, banks, rows, positives, 0.5)
        torch.testing.assert_close(
            terms["ins_audio"], instance_discrimination(x["audio"], banks[of_audio], rows, 0.5)
        )
        torch.testing.assert_close(
            terms["ins_visual"], instance_discrimination(x["visual"], banks[of_visual], rows, 0.5)
        )
        torch.testing.assert_close(terms["dec_audio"], decorrelation(x["audio"]))


@pytest.mark.parametrize(
    "options, names",
    [
        ({}, {"ins_audio", "dec_audio", "ins_visual", "dec_visual"}),
        (dict(dec=False), {"ins_audio", "ins_visual"}),
        (dict(ins_audio=False), {"dec_audio", "ins_visual", "dec_visual"}),
        (dict(ins_visual=False), {"ins_audio", "dec_audio", "dec_visual"}),
    ],
)
def test_the_loss_is_the_sum_of_the_terms_asked_for(options, names):
    net, method = built(AVBackbone, 5, 6, 8, 2), PretextMethod(3, 8, **options)
    loss, parts = method.loss(net, batch())
    assert set(parts) == names
    torch.testing.assert_close(loss, sum(parts.values()))


@pytest.mark.parametrize("positives", [OWN, CROSS])
def test_the_loss_reads_the_bank_as_it_was_and_then_moves_it_in_training_alone(positives):
    net, method, b = (
        built(AVBackbone, 5, 6, 8, 2),
        PretextMethod(3, 8, views="none", positives=positives, momentum=0.5),
        batch(),
    )
    old = {name: bank.vectors.clone() for name, bank in method.banks.items()}
    net.eval()
    expected = method.loss(net, b)[0]
    assert all(torch.equal(method.banks[name].vectors, old[name]) for name in old)
    net.train()
    loss, _ = method.loss(net, b)
    torch.testing.assert_close(loss, expected)
    out = net(b)
    for name in old:
        x = pooled(out[f"{name[0]}_attn"])
        torch.testing.assert_close(
            method.banks[name].vectors, F.normalize(0.5 * old[name] + 0.5 * x, dim=1)
        )
    loss.backward()  # though the bank has moved meanwhile
    assert all(p.grad is not None for p in net.parameters())


def test_one_modality_has_its_own_terms_only():
    net, method = built(AVBackbone, 5, 6, 8, 2, modality="audio"), PretextMethod(3, 8)
    assert set(method.loss(net, batch())[1]) == {"ins_audio", "dec_audio"}
    for options in (dict(positives=CROSS), dict(dec=False, ins_audio=False)):
        with pytest.raises(AvbookError):
            PretextMethod(3, 8, **options).loss(net, batch())


# ----------------------------------------------------------------------------------------- training
def weights_of(train, **options):
    net, history = pretrain(train, **{**TINY, **options})
    return {name: x.clone() for name, x in net.state_dict().items()}, history


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_no_label_is_read_and_shuffled_labels_give_the_same_weights_to_the_bit():
    clips = Clips()
    weights, _ = weights_of(clips)
    assert same(weights, weights_of(Clips(closed=True))[0])
    assert same(weights, weights_of(Clips(labels=clips.labels.flip(0) + 7))[0])
    segment_features(pretrain(Clips(closed=True), **TINY)[0], Clips(closed=True), device="cpu")


def test_the_seed_decides_everything_and_more_than_the_order():
    clips = Clips()
    (one, h1), (again, h2), (other, h3) = (
        weights_of(clips),
        weights_of(clips),
        weights_of(clips, seed=1),
    )
    assert same(one, again) and [e["losses"] for e in h1] == [e["losses"] for e in h2]
    assert not same(one, other) and h1[0]["loss"] != h3[0]["loss"]
    assert [e["epoch"] for e in h1] == [1, 2, 3] and set(h1[0]) == {
        "epoch",
        "loss",
        "losses",
        "lr",
        "seconds",
    }


@pytest.mark.parametrize(
    "options",
    [
        dict(views="none"),
        dict(positives=CROSS),
        dict(tau=0.3),
        dict(dec=False),
        dict(form="videos"),
        dict(momentum=0.0),
        dict(sgd_momentum=0.0),
        dict(residual=False),
        dict(s_attn=False),
        dict(visual2audio=False),
        dict(ins_audio=False),
    ],
)
def test_every_option_changes_what_is_learned(options):
    clips = Clips()
    features = [
        segment_features(pretrain(clips, **TINY, **more)[0], clips, device="cpu")
        for more in ({}, options)
    ]
    assert not torch.allclose(*features, atol=1e-4)


class Stop(Exception):
    pass


def test_a_run_that_was_cut_off_goes_on_to_the_same_weights(tmp_path):
    clips, seen = Clips(), []

    def stop(net, epoch):
        if epoch == 3:
            raise Stop

    with pytest.raises(Stop):
        pretrain(clips, **TINY, out=tmp_path, watch=stop)
    assert (tmp_path / "state.safetensors").exists()
    net, history = pretrain(
        clips, **TINY, out=tmp_path, watch=lambda net, epoch: seen.append(epoch)
    )
    assert seen == [3] and len(history) == 3
    assert same(weights_of(clips)[0], net.state_dict())


def test_learning_lowers_each_term_where_there_is_something_to_learn():
    history = pretrain(Clips(24), **{**TINY, "epochs": 40, "batch_size": 8}, views="none", tau=0.2)[
        1
    ]
    first, last = history[0]["losses"], history[-1]["losses"]
    assert last["ins_audio"] < 0.5 * math.log(24) < first["ins_audio"]  # chance: one of 24 entries
    assert (
        last["ins_visual"] < math.log(24) < first["ins_visual"]
    )  # these pictures are noise, and the mean over a clip hardly differs


def test_segment_features_are_the_networks_in_order_whatever_the_batch():
    clips = Clips()
    net, _ = pretrain(clips, **TINY)
    whole = segment_features(net, clips, device="cpu")
    assert whole.shape == (10, 4, 16) and whole.dtype == torch.float32 and not whole.requires_grad
    torch.testing.assert_close(segment_features(net, clips, batch_size=3, device="cpu"), whole)
    with torch.no_grad():
        torch.testing.assert_close(whole, net.features(net(clips.batch(range(10)))))


def test_one_video_and_a_last_batch_of_one():
    for n in (1, 5):
        net, history = pretrain(Clips(n), **TINY)
        assert all(math.isfinite(e["loss"]) for e in history)


def test_a_launch_of_several_processes_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(AvbookError, match="one process"):
        pretrain(Clips(), **TINY)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AVBackbone(modality="smell"),
        lambda: AVBackbone(hidden=10, heads=4),
        lambda: CollaborativeAttention(8, 0),
        lambda: CollaborativeAttention(8, 2, source="other"),
        lambda: PretextMethod(3, views="crop"),
        lambda: PretextMethod(3, positives="near"),
        lambda: PretextMethod(3, form="firm"),
        lambda: PretextMethod(3, tau=0.0),
        lambda: PretextMethod(3, momentum=1.0),
        lambda: PretextMethod(3, sgd_momentum=-0.1),
        lambda: PretextMethod(3, 8, dec=False, ins_audio=False, ins_visual=False).loss(
            AVBackbone(5, 6, 8, 2), batch()
        ),
        lambda: decorrelation(torch.eye(3), form="firm"),
        lambda: pooled(torch.ones(1, 2, 3), "crop"),
        lambda: pretrain(Clips(0), **TINY),
        lambda: pretrain(Clips(), **{**TINY, "epochs": 0}),
        lambda: pretrain(Clips(), **TINY, modality="audio", positives=CROSS),
        lambda: pretrain(Clips(), **{**TINY, "seed": -1}),
    ],
)
def test_bad_options_are_named(make):
    with pytest.raises(AvbookError):
        make()


def test_every_equation_of_this_part_is_implemented():
    for eq in range(1, 9):
        assert implementations("cmlcl", eq), f"Eq. {eq}"
