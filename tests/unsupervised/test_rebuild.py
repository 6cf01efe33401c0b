"""CMLCL's parts, written from their pages' tables only, equal ours.

The pages are `01_representation` ("To rebuild the backbone", "To rebuild the losses"),
`01a_pretraining` (the memory bank, "To rebuild the training") and `02_label_contrast`
("To rebuild this"). Nothing here was read from the package's sources. What the tables leave out
and was found by trial is marked "by trial".
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from avbook.unsupervised.label_contrast import (
    ClusterHead,
    assign_pseudo_labels,
    kl,
    label_contrast,
    label_loss,
    mean_entropy,
)
from avbook.unsupervised.neighbours import contrastive_sets
from avbook.unsupervised.pretraining import MemoryBank
from avbook.unsupervised.representation import (
    AVBackbone,
    decorrelation,
    instance_discrimination,
    pooled,
    pretext_terms,
)

AUDIO, VISUAL, D, T, CLIPS = 12, 20, 16, 5, 6
HEADS = 4
CLOSE = {"rtol": 1e-10, "atol": 1e-10}


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


# ----- the backbone ------------------------------------------------------------------------------


class Positions(nn.Module):
    """Steps 1 to 4."""

    def __init__(self):
        super().__init__()
        self.audio = nn.Linear(AUDIO, D)
        self.visual = nn.Linear(VISUAL, D)
        self.score = nn.Linear(D, 1, bias=False)

    def forward(self, audio, visual):
        product = F.relu(self.audio(audio)).unsqueeze(2) * F.relu(self.visual(visual))
        weights = self.score(product).squeeze(-1).softmax(-1)
        return weights, (weights.unsqueeze(-1) * visual).sum(2)


class Segments(nn.Module):
    """Steps 7 to 10, for one modality."""

    def __init__(self, residual, joint):
        super().__init__()
        self.query = nn.Linear(joint, D)
        self.key = nn.Linear(joint, D)
        self.value = nn.Linear(D, D)
        self.residual = residual
        if residual:
            self.mix = nn.Linear(D, D)
            self.norm = nn.LayerNorm(D, eps=1e-5)

    def forward(self, joint, own):
        q, k, v = self.query(joint), self.key(joint), self.value(own)
        width = D // HEADS
        heads = []
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            weights = (q[..., part] @ k[..., part].mT / math.sqrt(width)).softmax(-1)
            heads.append(weights @ v[..., part])
        attended = torch.cat(heads, dim=-1)
        if not self.residual:
            return attended
        return self.norm(self.mix(attended) + own)


class Backbone(nn.Module):
    """The whole table. The switches: a mean over positions in place of steps 1 to 4 (the page);
    queries and keys of the modality itself, without the other one's vector (by trial)."""

    def __init__(self, residual=True, s_attn=True, audio2visual=True, visual2audio=True):
        super().__init__()
        self.s_attn, self.audio2visual, self.visual2audio = s_attn, audio2visual, visual2audio
        if s_attn:
            self.spatial = Positions()
        self.a_in = nn.Linear(AUDIO, D)
        self.v_in = nn.Linear(VISUAL, D)
        self.a_collaborate = Segments(residual, 2 * D if visual2audio else D)
        self.v_collaborate = Segments(residual, 2 * D if audio2visual else D)

    def forward(self, audio, visual):
        visual = visual.flatten(2, 3).detach()
        if self.s_attn:
            attention, attended = self.spatial(audio, visual)
        else:
            attention, attended = torch.full_like(visual[..., 0], 1 / 49), visual.mean(2)
        a, v = self.a_in(audio), self.v_in(attended)
        v_attn = self.v_collaborate(torch.cat([a, v], dim=-1) if self.audio2visual else v, v)
        a_attn = self.a_collaborate(torch.cat([v, a], dim=-1) if self.visual2audio else a, a)
        return {
            "attention": attention.unflatten(-1, (7, 7)),
            "a_attn": a_attn,
            "v_attn": v_attn,
            "features": torch.cat([a_attn, v_attn], dim=-1),
        }


def our_backbone(**options):
    torch.manual_seed(1)
    net = AVBackbone(visual_dim=VISUAL, audio_dim=AUDIO, hidden=D, heads=HEADS, **options)
    for name, weight in net.named_parameters():
        if ".norm." in name:  # away from their start, 1 and 0
            nn.init.uniform_(weight, 0.5, 1.5)
    return net.double().eval()


@pytest.fixture(scope="module")
def clips():
    return {
        "audio": random(CLIPS, T, AUDIO, seed=2),
        "visual": random(CLIPS, T, 7, 7, VISUAL, seed=3),
    }


def our_outputs(net, clips):
    """With step 12, which is a method of its own (by trial)."""
    out = net(clips)
    return out | {"features": net.features(out)}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"residual": False},
        {"s_attn": False},
        {"audio2visual": False},
        {"visual2audio": False},
    ],
)
def test_the_backbone(clips, options):
    ours = our_backbone(**options)
    rebuilt = Backbone(**options).double()
    rebuilt.load_state_dict(ours.state_dict(), strict=True)
    found, expected = rebuilt(**clips), our_outputs(ours, clips)
    assert set(found) == set(expected)
    for name in found:
        torch.testing.assert_close(found[name], expected[name], **CLOSE)


def test_the_backbone_in_single_precision(clips):
    ours = our_backbone().float()
    rebuilt = Backbone()
    rebuilt.load_state_dict(ours.state_dict(), strict=True)
    clips = {name: x.float() for name, x in clips.items()}
    found, expected = rebuilt(**clips), our_outputs(ours, clips)
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=2e-6)


def test_the_visual_features_get_no_gradient(clips):
    visual = clips["visual"].clone().requires_grad_()
    ours = our_backbone()
    our_outputs(ours, clips | {"visual": visual})["features"].square().sum().backward()
    assert ours.v_in.weight.grad.abs().max() > 0
    assert visual.grad is None


def test_the_start_of_the_backbone_is_xavier_uniform():
    """The largest weight of a layer comes close to the bound of its distribution."""
    net = AVBackbone(visual_dim=64, audio_dim=48, hidden=32, heads=HEADS)
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Linear):
            bound = math.sqrt(6 / (layer.in_features + layer.out_features))
            assert 0.85 * bound < layer.weight.abs().max() <= bound, name
            if layer.bias is not None:
                default = 1 / math.sqrt(layer.in_features)
                assert 0.6 * default < layer.bias.abs().max() <= default, name


# ----- one vector for each clip ------------------------------------------------------------------


@pytest.mark.parametrize("views", ["none", "dropout"])
def test_the_vector_of_a_clip_in_evaluation(views):
    attn = random(CLIPS, T, D)
    expected = F.normalize(attn.mean(1), dim=-1)
    torch.testing.assert_close(pooled(attn, views=views, train=False), expected, **CLOSE)


def test_without_views_training_takes_the_same_mean():
    attn = random(CLIPS, T, D)
    expected = F.normalize(attn.mean(1), dim=-1)
    torch.testing.assert_close(pooled(attn, views="none", train=True), expected, **CLOSE)


def test_a_dropout_view_is_the_mean_of_half_of_the_segments_without_a_fifth_of_the_features():
    """Half of the features are 2^t in segment t and half are 1. The ratio of both, times the
    number of segments in the mean, is a sum of powers of two: which segments those are.
    By trial: each feature is dropped on its own, and half of an odd T is rounded down."""
    for segments, half in ((10, 5), (7, 3), (1, 1)):
        powers = 2.0 ** torch.arange(segments, dtype=torch.float64)
        attn = powers[:, None].expand(64, segments, 50)
        attn = torch.cat([attn, torch.ones_like(attn)], dim=-1)
        views = pooled(attn, views="dropout", train=True)
        torch.testing.assert_close(views.norm(dim=-1), torch.ones(64, dtype=torch.float64))
        kept = views != 0
        assert 0.77 < kept.double().mean() < 0.83
        assert len(kept.sum(-1).unique()) > 1
        # What is kept of either half of a clip's features has one value, its largest.
        ratio = views[:, :50].amax(1) / views[:, 50:].amax(1)
        subsets = [round(r * half) for r in ratio.tolist()]
        torch.testing.assert_close(ratio * half, torch.tensor(subsets, dtype=torch.float64))
        assert {subset.bit_count() for subset in subsets} == {half}
        assert len(set(subsets)) > 1 or segments == 1  # each clip has segments of its own


# ----- the pretext losses ------------------------------------------------------------------------


def rebuilt_instance_discrimination(x, bank, rows, tau=1.0):
    shares = (x @ bank.detach().mT / tau).softmax(-1)
    return -shares[torch.arange(len(x)), rows].log().mean()


def rebuilt_decorrelation(x, tau2=2.0):
    x = x / x.norm(dim=0)
    g = x.mT @ x
    shares = (g / tau2).softmax(-1)
    return -shares.diagonal().log().mean()


@pytest.fixture(scope="module")
def pretext():
    """The vectors x of a batch, the banks of 20 clips, and the rows of the batch in the banks."""
    x = {
        name: F.normalize(random(CLIPS, D, seed=seed), dim=-1)
        for seed, name in enumerate(("audio", "visual"))
    }
    banks = {
        name: F.normalize(random(20, D, seed=seed), dim=-1)
        for seed, name in enumerate(("audio", "visual"), start=5)
    }
    return x, banks, torch.tensor([3, 0, 19, 7, 8, 11])


@pytest.mark.parametrize("tau", [1.0, 0.2])
def test_instance_discrimination(pretext, tau):
    x, banks, rows = pretext
    found = rebuilt_instance_discrimination(x["audio"], banks["audio"], rows, tau)
    expected = instance_discrimination(x["audio"], banks["audio"], rows, tau=tau)
    torch.testing.assert_close(found, expected, **CLOSE)


def test_soft_decorrelation(pretext):
    x, _, _ = pretext
    torch.testing.assert_close(rebuilt_decorrelation(x["visual"]), decorrelation(x["visual"]))


def test_hard_decorrelation_over_features_and_as_printed(pretext):
    """Eq. 7: the sum of squares. By trial: columns, or clips, are divided by their length."""
    x = 3 * pretext[0]["audio"]
    columns = x / x.norm(dim=0)
    rows = x / x.norm(dim=1, keepdim=True)
    over_features = (columns.mT @ columns - torch.eye(D)).square().sum()
    printed = (rows @ rows.mT - torch.eye(CLIPS)).square().sum()
    torch.testing.assert_close(decorrelation(x, form="hard"), over_features, **CLOSE)
    torch.testing.assert_close(decorrelation(x, form="videos"), printed, **CLOSE)


@pytest.mark.parametrize("positives", ["own", "cross"])
def test_the_four_terms_of_the_pretext_loss(pretext, positives):
    """With `cross`, the audio vector is matched against the visual bank, and the reverse."""
    x, banks, rows = pretext
    other = {"audio": "visual", "visual": "audio"}
    found = {}
    for name in ("audio", "visual"):
        bank = banks[name if positives == "own" else other[name]]
        found[f"ins_{name}"] = rebuilt_instance_discrimination(x[name], bank, rows)
        found[f"dec_{name}"] = rebuilt_decorrelation(x[name])
    terms = pretext_terms(x, banks, rows, positives=positives)
    assert set(terms) == set(found)
    for name in found:
        torch.testing.assert_close(found[name], terms[name], **CLOSE)


def test_the_memory_bank_moves_by_a_tenth_and_back_to_length_one(pretext):
    x, _, rows = pretext
    bank = MemoryBank(20, D)
    start = bank.vectors.clone()
    torch.testing.assert_close(start.norm(dim=-1), torch.ones(20))
    bank.update(rows, x["audio"].float())
    expected = start.clone()
    expected[rows] = F.normalize(0.9 * start[rows] + 0.1 * x["audio"].float(), dim=-1)
    torch.testing.assert_close(bank.vectors, expected)


# ----- affinity and repulsion sets ---------------------------------------------------------------


def rebuilt_sets(features, k):
    """Row 1: for each clip, all other clips sorted by cosine, the lower index first in a tie."""
    unit = F.normalize(features, dim=-1)
    cosines = (unit @ unit.mT).tolist()
    near, far = [], []
    for i, row in enumerate(cosines):
        others = [j for j in range(len(row)) if j != i]
        near.append(sorted(others, key=lambda j: (-row[j], j))[:k])
        far.append(sorted(others, key=lambda j: (row[j], j))[:k])
    return torch.tensor(near), torch.tensor(far)


def test_affinity_and_repulsion_sets():
    features = random(40, D)
    near, far = rebuilt_sets(features, 7)
    ours = contrastive_sets(features, 7, device="cpu")
    assert torch.equal(ours.affinity, near)
    assert torch.equal(ours.repulsion, far)


def test_ties_go_to_the_lower_index():
    """Multiples of the axes, of lengths whose cosines are 1, 0 and -1 exactly."""
    axes = torch.eye(3, dtype=torch.float64)
    features = torch.cat([axes, -2 * axes, 4 * axes, -axes])
    near, far = rebuilt_sets(features, 5)
    ours = contrastive_sets(features, 5, device="cpu")
    assert torch.equal(ours.affinity, near)
    assert torch.equal(ours.repulsion, far)


# ----- the cluster head and its loss -------------------------------------------------------------

CATEGORIES, HIDDEN, K = 4, 8, 3


def rebuilt_head(state):
    """Rows 2 and 3. The weights are called `0` and `2`, as those of a sequence."""
    layers = nn.Sequential(
        nn.Linear(2 * D, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, CATEGORIES),
        nn.LogSoftmax(dim=-1),
    ).to(state["0.weight"].dtype)
    layers.load_state_dict(state, strict=True)
    return layers


def rebuilt_kl(log_p, log_q):
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def rebuilt_label_terms(log_p, log_near, log_far, cap):
    """Rows 4, 5 and 6."""
    near = rebuilt_kl(log_p[:, None], log_near).mean()
    far = rebuilt_kl(log_p[:, None], log_far).clamp(max=cap).mean()
    mean = log_p.exp().mean(0)
    return near, far, -(mean * mean.log()).sum()


def distributions(*shape, seed):
    """Sharp enough that some divergences are above the cap."""
    return (3 * random(*shape, CATEGORIES, seed=seed)).log_softmax(-1)


@pytest.fixture(scope="module")
def logs():
    return (
        distributions(CLIPS, seed=0),
        distributions(CLIPS, K, seed=1),
        distributions(CLIPS, K, seed=2),
    )


def test_the_cluster_head():
    ours = ClusterHead(2 * D, HIDDEN, CATEGORIES).double()
    x = random(CLIPS, 2 * D)
    torch.testing.assert_close(rebuilt_head(ours.state_dict())(x), ours(x), **CLOSE)


def test_the_start_of_the_cluster_head_is_pytorchs_default():
    for layer in ClusterHead(64, 32, 28):
        if isinstance(layer, nn.Linear):
            default = 1 / math.sqrt(layer.in_features)
            assert 0.85 * default < layer.weight.abs().max() <= default
            assert 0.6 * default < layer.bias.abs().max() <= default


def test_the_divergence(logs):
    log_p, log_near, _ = logs
    found = rebuilt_kl(log_p[:, None], log_near)
    torch.testing.assert_close(found, kl(log_p[:, None], log_near), **CLOSE)
    assert (found > math.log(CATEGORIES)).any()


def test_the_label_contrast_and_the_entropy(logs):
    near, far, entropy = rebuilt_label_terms(*logs, cap=math.log(CATEGORIES))
    torch.testing.assert_close(near - far, label_contrast(*logs), **CLOSE)
    torch.testing.assert_close(entropy, mean_entropy(logs[0]), **CLOSE)


def test_the_label_loss_and_its_options(logs):
    near, far, entropy = rebuilt_label_terms(*logs, cap=math.log(CATEGORIES))
    loss, _ = label_loss(*logs)
    torch.testing.assert_close(near - far - entropy, loss, **CLOSE)
    loss, _ = label_loss(*logs, literal_sign=True)
    torch.testing.assert_close(near - far + entropy, loss, **CLOSE)
    near, far, entropy = rebuilt_label_terms(*logs, cap=math.inf)
    loss, _ = label_loss(*logs, kl_cap=None)
    torch.testing.assert_close(near - far - entropy, loss, **CLOSE)


@pytest.mark.parametrize("through_neighbours", [True, False])
def test_the_training_of_the_cluster_head(through_neighbours):
    """With all clips in one batch their order plays no part, and every step can be repeated."""
    x = random(24, 2 * D).float()
    epochs, lr = 6, 0.05
    options = {"categories": CATEGORIES, "k": K, "hidden": HIDDEN, "batch_size": len(x)}
    options |= {"through_neighbours": through_neighbours, "device": "cpu", "keep": True}
    # A learning rate of next to nothing leaves the start of the same seed.
    start = assign_pseudo_labels(x, epochs=1, lr=1e-30, **options).net
    ours = assign_pseudo_labels(x, epochs=epochs, lr=lr, **options)

    head = rebuilt_head(start.state_dict())
    near, far = rebuilt_sets(x, K)
    optimizer = torch.optim.SGD(head.parameters(), lr=lr, momentum=0.9)
    for epoch in range(1, epochs + 1):
        for group in optimizer.param_groups:
            group["lr"] = lr * 0.5 * (1 + math.cos(math.pi * (epoch - 1) / epochs))
        log_p = head(x)
        others = log_p if through_neighbours else log_p.detach()
        terms = rebuilt_label_terms(log_p, others[near], others[far], math.log(CATEGORIES))
        loss = terms[0] - terms[1] - terms[2]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for name, weight in head.state_dict().items():
        torch.testing.assert_close(weight, ours.net.state_dict()[name], rtol=0, atol=1e-5)
        assert (weight - start.state_dict()[name]).abs().max() > 1e-3
    probabilities = head(x).exp()
    torch.testing.assert_close(probabilities, ours.probabilities, rtol=0, atol=1e-5)
    assert torch.equal(probabilities.argmax(-1), ours.labels)
