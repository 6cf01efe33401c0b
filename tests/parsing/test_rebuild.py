"""HAN and MA, written from their pages' tables only, equal ours.

Nothing here is copied from the package. The networks, losses and rules below follow the tables
"To rebuild this" of the pages HAN, Pooling, MA and MA's refinement, step by step, so a row that
becomes wrong or incomplete makes a test fail.
"""

import numpy as np
import pytest
import torch
from torch import nn

from avbook.parsing.han import HAN, HANMethod
from avbook.parsing.ma import MA, MAMethod, contrast_loss, cosines
from avbook.parsing.refinement import (
    category_errors,
    confidence,
    filter_labels,
    refine,
    sample_partners,
    swap_modalities,
)

PAPER = {"audio_dim": 128, "visual_2d_dim": 2048, "visual_3d_dim": 512}
SMALL = {"audio_dim": 6, "visual_2d_dim": 10, "visual_3d_dim": 7}
SMALL_NET = {**SMALL, "width": 16, "hidden": 24, "categories": 5}
PRECISIONS = pytest.mark.parametrize("dtype, atol", [(torch.float32, 1e-6), (torch.float64, 1e-10)])


# --- HAN, page "HAN" -------------------------------------------------------------------------


class Rebuilt(nn.Module):
    """Steps 1 to 15; the names of the layers are those of the column "weights"."""

    def __init__(
        self,
        audio_dim=128,
        visual_2d_dim=2048,
        visual_3d_dim=512,
        categories=25,
        width=512,
        hidden=512,
        dropout=0.1,
    ):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.ModuleDict(
            {
                "audio": nn.Linear(audio_dim, width),
                "visual_2d": nn.Linear(visual_2d_dim, width),
                "visual_3d": nn.Linear(visual_3d_dim, width),
                "visual": nn.Linear(2 * width, width),
            }
        )
        self.attention = nn.ModuleDict(
            {
                "own": self.new_attention(width),
                "cross": self.new_attention(width),
                "first": nn.LayerNorm(width, eps=1e-5),
                "second": nn.LayerNorm(width, eps=1e-5),
                "feed": nn.Sequential(
                    nn.Linear(width, hidden),
                    nn.ReLU(),
                    nn.Dropout(dropout),
                    nn.Linear(hidden, width),
                ),
            }
        )
        pooling = {name: nn.Linear(width, categories) for name in ("frame", "modality")}
        self.head = nn.ModuleDict(
            {
                "classifier": nn.Linear(width, categories),
                "pooling": nn.ModuleDict(pooling),
            }
        )

    @staticmethod
    def new_attention(width):
        layers = {"qkv": nn.Linear(width, 3 * width), "out": nn.Linear(width, width)}
        bound = (6 / (width + 3 * width)) ** 0.5
        nn.init.uniform_(layers["qkv"].weight, -bound, bound)
        nn.init.zeros_(layers["qkv"].bias)
        nn.init.zeros_(layers["out"].bias)
        return nn.ModuleDict(layers)

    def attend(self, layers, x, source):
        """Steps 6 to 8: queries of `x`; keys and values of `source`."""
        q = layers["qkv"](x).chunk(3, -1)[0]
        _, k, v = layers["qkv"](source).chunk(3, -1)
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        return layers["out"](self.dropout(weights) @ v)

    def hybrid(self, f, other):
        """Steps 6 to 11."""
        layers = self.attention
        own = self.attend(layers["own"], f, f)
        cross = self.attend(layers["cross"], f, other)
        u = layers["first"](f + self.dropout(own) + self.dropout(cross))
        return layers["second"](u + self.dropout(layers["feed"](u)))

    def forward(self, batch):
        layers = self.projection
        frames = batch["visual_2d"].unflatten(1, (-1, 8)).mean(2)
        visual = [layers["visual_2d"](frames), layers["visual_3d"](batch["visual_3d"])]
        f_v = layers["visual"](torch.cat(visual, -1))
        f_a = layers["audio"](batch["audio"])
        f_a_hat, f_v_hat = self.hybrid(f_a, f_v), self.hybrid(f_v, f_a)

        hats = torch.stack([f_a_hat, f_v_hat], 2)  # (B,T,2,width), audio first
        p = self.head["classifier"](hats).sigmoid()
        alpha = self.head["pooling"]["frame"](hats).softmax(1)
        beta = self.head["pooling"]["modality"](hats).softmax(2)
        each = (alpha * p).sum(1)
        return {
            "f_a": f_a,
            "f_v": f_v,
            "f_a_hat": f_a_hat,
            "f_v_hat": f_v_hat,
            "segment_audio": p[:, :, 0],
            "segment_visual": p[:, :, 1],
            "frame_attention": alpha,
            "modality_attention": beta,
            "video_audio": each[:, 0],
            "video_visual": each[:, 1],
            "video": (alpha * beta * p).sum((1, 2)),
        }


def bce(p, y):
    p = p.clamp(1e-7, 1 - 1e-7)
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean()


def han_loss(out, labels, targets_audio=None, targets_visual=None):
    """H5. A label that refinement dropped has the target 0 in its modality."""
    audio, visual = labels.clone(), 0.9 * labels + 0.05
    if targets_audio is not None:
        audio[(labels == 1) & (targets_audio == 0)] = 0
        visual[(labels == 1) & (targets_visual == 0)] = 0
    parts = [bce(out["video_audio"], audio), bce(out["video_visual"], visual)]
    return sum(parts) + bce(out["video"], labels), (audio, visual)


def inputs(clips, seconds, dims, dtype=torch.float32):
    shapes = {
        "audio": (clips, seconds, dims["audio_dim"]),
        "visual_2d": (clips, 8 * seconds, dims["visual_2d_dim"]),
        "visual_3d": (clips, seconds, dims["visual_3d_dim"]),
    }
    return {name: torch.randn(shape, dtype=dtype) for name, shape in shapes.items()}


def both(reference, options, dtype, evidence=1.0):
    """Ours and the rebuilt network with the same weights, in eval mode.

    Biases and normalisations get random values, as many would be 0 or 1. `evidence` multiplies
    the weights of the classifier: with a large factor the probabilities of an untrained network
    are spread over 0 to 1.
    """
    ours = reference(**options)
    for weight in ours.parameters():
        if weight.ndim == 1:
            weight.data.add_(0.1 * torch.randn_like(weight))
    ours.head.classifier.weight.data.mul_(evidence)
    rebuilt = Rebuilt(**options)
    rebuilt.load_state_dict(ours.state_dict(), strict=True)
    return ours.to(dtype).eval(), rebuilt.to(dtype).eval()


def random_labels(clips, categories, dtype=torch.float32):
    return (torch.rand(clips, categories) < 0.3).to(dtype)


def assert_same_outputs(found, expected, atol):
    """Features reach 4 or so and depend on the order of sums: they get five times as much."""
    assert set(found) == set(expected)
    for name, x in found.items():
        allowed = 5 * atol if name.startswith("f_") else atol
        torch.testing.assert_close(x, expected[name], rtol=0, atol=allowed, msg=name)


@PRECISIONS
@pytest.mark.parametrize("dims, options", [(PAPER, {}), (SMALL, SMALL_NET)])
def test_han_has_the_outputs_of_its_table(dims, options, dtype, atol):
    torch.manual_seed(0)
    ours, rebuilt = both(HAN, options, dtype)
    batch = inputs(3, 10 if dims is PAPER else 7, dims, dtype)
    with torch.no_grad():
        expected, found = ours(batch), rebuilt(batch)
    assert_same_outputs(found, expected, atol)


def test_dropout_acts_where_the_table_says():
    """Masks are random, so many of one clip are drawn: mean and spread must agree."""
    torch.manual_seed(0)
    options = {**SMALL, "width": 4, "hidden": 4, "categories": 2, "dropout": 0.3}
    ours, rebuilt = both(HAN, options, torch.float32)
    for net in (ours, rebuilt):
        net.attention.feed[3].weight.data.mul_(4)  # or its dropout would hardly matter
    masks = 50_000
    batch = {name: x.repeat(masks, 1, 1) for name, x in inputs(1, 3, SMALL).items()}
    with torch.no_grad():
        expected, found = ours.train()(batch), rebuilt.train()(batch)
    for name in ("f_a_hat", "f_v_hat"):
        for statistic in (torch.mean, torch.std):
            of_ours, of_rebuilt = statistic(expected[name], 0), statistic(found[name], 0)
            torch.testing.assert_close(of_rebuilt, of_ours, rtol=0, atol=0.02, msg=name)


def uniform_bounds(width, fan_in):
    """The bound of each parameter that is not constant, by the item "Initialisation"."""
    bounds = {name: size**-0.5 for name, size in fan_in.items()}
    for name in ("attention.own", "attention.cross"):
        bounds[f"{name}.qkv.weight"] = (6 / (width + 3 * width)) ** 0.5
        bounds[f"{name}.qkv.bias"] = bounds[f"{name}.out.bias"] = 0
    return bounds


@pytest.mark.parametrize("network", [HAN, Rebuilt])
def test_initialisation(network):
    torch.manual_seed(0)
    net = network()
    layers = {name: m for name, m in net.named_modules() if isinstance(m, nn.Linear)}
    fan_in = {
        f"{name}.{kind}": layer.in_features
        for name, layer in layers.items()
        for kind in ("weight", "bias")
    }
    bounds = uniform_bounds(512, fan_in)
    for name, values in net.state_dict().items():
        if name.startswith(("attention.first", "attention.second")):
            assert (values == (1 if name.endswith("weight") else 0)).all(), name
            continue
        bound = bounds[name]
        assert values.abs().max() <= bound * (1 + 1e-6), name
        if bound:  # 25 numbers or more
            assert values.abs().max() > 0.75 * bound, name
        if bound and values.ndim == 2:
            assert values.std().item() == pytest.approx(bound / 3**0.5, rel=0.03), name


@PRECISIONS
def test_han_loss(dtype, atol):
    torch.manual_seed(0)
    labels = random_labels(4, 25, dtype)
    out = {name: torch.rand(4, 25, dtype=dtype) for name in ("video_audio", "video_visual")}
    out["video"] = 2 * torch.rand(4, 25, dtype=dtype)  # a weighted sum: some exceed one
    for p in out.values():
        p[0, 0], p[1, 1] = 0, 1
    expected = HANMethod().loss_of(out, {"video_labels": labels})[0]
    torch.testing.assert_close(han_loss(out, labels)[0], expected, rtol=1e-6, atol=atol)


@pytest.mark.parametrize("reference, method", [(HAN, HANMethod()), (MA, MAMethod())])
def test_predicted_labels(reference, method):
    torch.manual_seed(0)
    ours, rebuilt = both(reference, SMALL_NET, torch.float64, evidence=20)
    batch = inputs(40, 7, SMALL, torch.float64)
    with torch.no_grad():
        out, expected = rebuilt(batch), method.predict(ours, batch)
    filtered = 0
    for m in ("audio", "visual"):
        clip = out["video" if reference is HAN else f"video_{m}"][:, None] >= 0.5
        segment = out[f"segment_{m}"] >= 0.5
        assert torch.equal(segment & clip, expected[m].bool())
        filtered += (segment & ~clip).sum()
    assert filtered > 0


# --- MA, page "MA: temporal contrast" --------------------------------------------------------


def rebuilt_contrast(x_hat, y):
    """Steps 1 and 2."""
    x, y = (f / f.norm(dim=-1, keepdim=True).clamp(min=1e-12) for f in (x_hat, y))
    return x @ y.mT


def rebuilt_contrast_loss(similarity, tau=0.2, smoothing=0.1):
    """Steps 3 to 5."""
    log_p = (similarity / tau).log_softmax(-1)
    own = log_p.diagonal(dim1=-2, dim2=-1)
    others = log_p.sum(-1) - own
    return -((1 - smoothing) * own + smoothing / (log_p.shape[-1] - 1) * others).mean()


@PRECISIONS
def test_cosines_and_contrast_loss(dtype, atol):
    torch.manual_seed(0)
    x, y = torch.randn(2, 3, 10, 16, dtype=dtype)
    x[0, 0], y[0, 1], y[0, 2] = 0, 0, 1e-14  # features without, and with hardly any, length
    matrix = rebuilt_contrast(x, y)
    torch.testing.assert_close(matrix, cosines(x, y), rtol=0, atol=atol)
    for constants in ({}, {"tau": 0.5}, {"smoothing": 0.0}):
        expected = contrast_loss(matrix, **constants)
        found = rebuilt_contrast_loss(matrix, **constants)
        torch.testing.assert_close(found, expected, rtol=0, atol=atol)


def test_contrast_loss_is_computed_in_single_precision():
    torch.manual_seed(0)
    half = (2 * torch.rand(3, 10, 10) - 1).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = contrast_loss(half)
    torch.testing.assert_close(found, rebuilt_contrast_loss(half.float()), rtol=0, atol=1e-6)


@PRECISIONS
def test_ma_has_the_layers_of_han_and_two_more_outputs(dtype, atol):
    torch.manual_seed(0)
    ours, rebuilt = both(MA, {}, dtype)
    batch = inputs(3, 10, PAPER, dtype)
    with torch.no_grad():
        expected, found = ours(batch), rebuilt(batch)
    found["contrast"] = rebuilt_contrast(found["f_a_hat"], found["f_v"])
    found["contrast_visual"] = rebuilt_contrast(found["f_v_hat"], found["f_a"])
    assert_same_outputs(found, expected, atol)


@pytest.mark.parametrize("direction", ["code", "both"])
@pytest.mark.parametrize("stage", [1, 3])
def test_ma_total_loss_and_its_gradient(stage, direction):
    torch.manual_seed(0)
    ours, rebuilt = both(MA, SMALL_NET, torch.float64)
    batch = inputs(4, 7, SMALL, torch.float64)
    batch["video_labels"] = random_labels(4, 5, torch.float64)
    kept = {}
    if stage == 3:
        for name in ("targets_audio", "targets_visual"):
            kept[name] = batch["video_labels"] * random_labels(4, 5, torch.float64)
    method = MAMethod(direction=direction)
    expected = method.loss_of(ours(batch), {**batch, **kept})[0]

    out = rebuilt(batch)
    contrast = rebuilt_contrast_loss(rebuilt_contrast(out["f_a_hat"], out["f_v"]))
    if direction == "both":
        visual = rebuilt_contrast_loss(rebuilt_contrast(out["f_v_hat"], out["f_a"]))
        contrast = (contrast + visual) / 2
    found = han_loss(out, batch["video_labels"], **kept)[0] + contrast
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)

    expected.backward()
    found.backward()
    of_rebuilt = dict(rebuilt.named_parameters())
    for name, weight in ours.named_parameters():
        gradient = of_rebuilt[name].grad
        torch.testing.assert_close(gradient, weight.grad, rtol=0, atol=1e-10, msg=name)


def test_targets_of_stage_3():
    torch.manual_seed(0)
    labels = random_labels(6, 25)
    kept = {f"targets_{m}": labels * random_labels(6, 25) for m in ("audio", "visual")}
    targets = MAMethod().targets({"video_labels": labels, **kept})
    out = {name: torch.rand(6, 25) for name in ("video_audio", "video_visual", "video")}
    audio, visual = han_loss(out, labels, **kept)[1]
    assert torch.equal(targets["audio"], audio)
    torch.testing.assert_close(targets["visual"], visual, rtol=0, atol=1e-6)
    assert torch.equal(targets["video"], labels)
    dropped = (labels == 1) & (kept["targets_visual"] == 0)
    assert dropped.any() and (targets["visual"][dropped] == 0).all()


# --- Refinement, page "MA: label refinement by exchanging modalities" ------------------------


def rebuilt_partners(labels, count, seed):
    """Step 1, with "our random draw"."""
    rng = np.random.default_rng(seed)
    partners = np.full((len(labels), count), -1)
    for i, own in enumerate(labels):
        others = [j for j, y in enumerate(labels) if j != i and not (own * y).any()]
        drawn = rng.choice(others, min(count, len(others)), replace=False)
        partners[i, : len(drawn)] = drawn
    return partners


def exchange(net, batch, partners):
    """Steps 3 and 4, by whole forward passes. NaN for a clip without a partner."""
    streams = {"a": ["audio"], "v": ["visual_2d", "visual_3d"]}
    result = {}
    for changed, names in streams.items():
        of_k = []
        for partner in partners.T:
            swapped = {**batch, **{name: batch[name][partner] for name in names}}
            with torch.no_grad():
                out = net(swapped)
            pair = torch.stack([out["video_visual"], out["video_audio"]])
            pair[:, torch.as_tensor(partner < 0)] = np.nan
            of_k.append(pair)
        means = torch.stack(of_k).nanmean(0).numpy()
        result[f"p_{changed}_v"], result[f"p_{changed}_a"] = means
    return result


def rebuilt_errors(p, labels):
    """Steps 5 and 6."""
    rate = ((p > 0.5) != labels.astype(bool)).mean(0)
    return rate / rate.max() if rate.max() > 0 else rate


def rebuilt_kept(labels, first, second, errors):
    """Step 7 or 8. A product, so that an error of zero keeps, as does NaN (no partner)."""
    half = 0.5 * errors
    return labels.astype(bool) & ~((first < half) & (second < half))


def clips_with_labels(clips):
    """Random labels, at least one per clip; the first clip has all: no clip is unrelated to it."""
    labels = np.random.default_rng(0).random((clips, 5)) < 0.4
    labels[np.arange(clips), np.arange(clips) % 5] = True
    labels[0] = True
    return labels


@pytest.mark.parametrize("count", [1, 3])
def test_partners(count):
    labels = clips_with_labels(30)
    found = rebuilt_partners(labels, count, seed=7)
    assert (found[0] == -1).all() and (found >= 0).any()
    assert np.array_equal(found, sample_partners(labels, count, seed=7))


def test_rule_on_random_probabilities():
    rng = np.random.default_rng(0)
    labels = rng.random((200, 25)) < 0.4
    labels[:, 0] = False
    p, first, second = rng.random((3, 200, 25), dtype=np.float32)
    p[:, 0] = 0.5  # not strictly above: absent, hence no error
    p[:, 1] = np.where(labels[:, 1], 0.9, 0.1)
    p[:100, 2:] = np.where(labels[:100, 2:], 0.9, 0.1)
    errors = rebuilt_errors(p, labels)
    assert (errors[:2] == 0).all() and errors.max() == 1
    np.testing.assert_allclose(category_errors(p, labels), errors, rtol=0, atol=1e-12)
    positive = errors > 0
    np.testing.assert_allclose(
        confidence(first, errors)[:, positive], first[:, positive] / errors[positive], rtol=1e-12
    )
    kept = rebuilt_kept(labels, first, second, errors)
    assert np.array_equal(filter_labels(labels, first, second, errors), kept)
    assert 0 < (labels & ~kept).sum() < labels.sum() / 2
    assert np.array_equal(kept[:, :2], labels[:, :2])


def test_rule_without_any_error_keeps_all():
    labels = np.random.default_rng(0).random((10, 5)) < 0.4
    p = np.where(labels, 0.9, 0.1).astype(np.float32)
    errors = category_errors(p, labels)
    assert (errors == 0).all()
    assert np.array_equal(filter_labels(labels, 0 * p, 0 * p, errors), labels)


class Clips:
    """What `refine` asks of a split."""

    def __init__(self, batch, labels):
        self.tensors, self.video_labels = batch, labels
        self.ids = np.array([f"clip {i}" for i in range(len(labels))])

    def __len__(self):
        return len(self.ids)

    def batch(self, rows):
        return {name: x[torch.as_tensor(rows)] for name, x in self.tensors.items()}


@pytest.mark.parametrize("count", [1, 3])
def test_refinement_of_clips(count):
    torch.manual_seed(0)
    ours, rebuilt = both(MA, SMALL_NET, torch.float32, evidence=20)
    batch = inputs(30, 7, SMALL)
    labels = clips_with_labels(30)
    partners = rebuilt_partners(labels, count, seed=0)
    assert count == 1 or ((partners >= 0).sum(1) == 2).any()

    with torch.no_grad():
        streams, out = ours.encode(batch), rebuilt(batch)
    p = exchange(rebuilt, batch, partners)
    has_partner = partners[:, 0] >= 0
    expected = swap_modalities(ours, streams, partners)
    assert set(p) == set(expected)
    for name in p:
        found, wanted = p[name][has_partner], expected[name][has_partner]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6, err_msg=name)

    e_a, e_v = (rebuilt_errors(out[f"video_{m}"].numpy(), labels) for m in ("audio", "visual"))
    refinement = refine(ours, Clips(batch, labels), tuple("abcde"), partners=count, seed=0)
    assert np.array_equal(refinement.partners, partners)
    np.testing.assert_allclose(refinement.errors["audio"], e_a, rtol=0, atol=1e-12)
    np.testing.assert_allclose(refinement.errors["visual"], e_v, rtol=0, atol=1e-12)
    visual = rebuilt_kept(labels, p["p_a_v"], p["p_a_a"], e_v)
    audio = rebuilt_kept(labels, p["p_v_v"], p["p_v_a"], e_a)
    assert np.array_equal(refinement.visual, visual)
    assert np.array_equal(refinement.audio, audio)
    assert (labels & ~visual).any() and (labels & ~audio).any()
    assert visual[0].all() and audio[0].all()
