"""CMLCL's localiser and three rounds of EM, written from the tables "To rebuild …" of their pages
alone, give the package's numbers."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from avbook.unsupervised.em import expectation, localise, maximisation, targets_of
from avbook.unsupervised.localiser import Localiser, mil_loss

CLIPS, SEGMENTS, WIDTH, HIDDEN, CATEGORIES, K = 70, 10, 24, 16, 5, 6


class Rebuilt(nn.Module):
    """The localiser by its table; parameters with our names."""

    def __init__(self, width: int, hidden: int, categories: int, modalities: int = 2):
        super().__init__()
        self.project = nn.ModuleList(
            nn.Linear(width // modalities, hidden) for _ in range(modalities)
        )
        self.interaction = nn.ModuleDict(
            {"attention": nn.Module(), "norm": nn.LayerNorm(hidden, eps=1e-5)}
        )
        attention = self.interaction["attention"]
        attention.out_proj = nn.Linear(hidden, hidden)
        nn.init.zeros_(attention.out_proj.bias)
        attention.in_proj_weight = nn.Parameter(torch.empty(3 * hidden, hidden))
        nn.init.xavier_uniform_(attention.in_proj_weight)
        attention.in_proj_bias = nn.Parameter(torch.zeros(3 * hidden))
        self.event = nn.Linear(hidden, 1)
        self.category = nn.Linear(hidden, categories)

    def forward(self, features):
        width = features.shape[-1] // len(self.project)
        parts = [
            layer(features[..., i * width : (i + 1) * width])
            for i, layer in enumerate(self.project)
        ]
        q = parts[0] * parts[1] if len(parts) == 2 else parts[0]
        m, h = torch.cat(parts, 1), q.shape[-1]
        attention = self.interaction["attention"]
        w, b = attention.in_proj_weight, attention.in_proj_bias
        query = q @ w[:h].T + b[:h]
        key, value = (m @ w[i : i + h].T + b[i : i + h] for i in (h, 2 * h))
        heads = []
        for i in range(4):
            part = slice(i * h // 4, (i + 1) * h // 4)
            scores = query[..., part] @ key[..., part].mT / math.sqrt(h / 4)
            heads.append(scores.softmax(-1) @ value[..., part])
        fusion = self.interaction["norm"](q + attention.out_proj(torch.cat(heads, -1)))
        gamma = self.event(fusion).squeeze(-1).softmax(1)
        segments = self.category(fusion).softmax(-1)
        return {
            "fusion": fusion,
            "gamma": gamma,
            "segments": segments,
            "video": (gamma.unsqueeze(-1) * segments).sum(1),
        }


def cross_entropy(y, z):
    return -(z * y.log().clamp(min=-100) + (1 - z) * (1 - y).log().clamp(min=-100)).mean()


def batches(seed: int, epoch: int):
    order = torch.as_tensor(np.random.default_rng((seed, epoch)).permutation(CLIPS))
    return order.split(32)


def e_step(features, gamma, seed: int, epochs: int = 5):
    """Φ(f_i) by the tables of label contrast and of a round."""
    f = features.mean(1) if gamma is None else (gamma.unsqueeze(-1) * features).sum(1)
    unit = F.normalize(f, dim=1)
    cosine = unit @ unit.T
    near = cosine.clone().fill_diagonal_(-9).topk(K).indices
    far = cosine.clone().fill_diagonal_(9).topk(K, largest=False).indices
    torch.manual_seed(seed)
    head = nn.Sequential(
        nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, CATEGORIES), nn.LogSoftmax(-1)
    )
    optimizer = torch.optim.SGD(head.parameters(), lr=0.05, momentum=0.9)

    def kl(p, q):
        return (p.exp() * (p - q)).sum(-1)

    for epoch in range(1, epochs + 1):
        cosine_decay = 0.5 * (1 + math.cos(math.pi * (epoch - 1) / epochs))
        optimizer.param_groups[0]["lr"] = 0.05 * cosine_decay
        for rows in batches(seed, epoch):
            own = head(f[rows])
            attract = kl(own[:, None], head(f[near[rows]])).mean()
            repel = kl(own[:, None], head(f[far[rows]])).clamp(max=math.log(CATEGORIES)).mean()
            mean = own.exp().mean(0)
            loss = attract - repel + (mean * mean.log()).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return head(f).exp()


def m_step(features, targets, seed: int, epochs: int = 3):
    """γ by the tables of the localiser and of a round."""
    torch.manual_seed(seed)
    net = Rebuilt(WIDTH, HIDDEN, CATEGORIES)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-4, weight_decay=5e-4)
    for epoch in range(1, epochs + 1):
        for rows in batches(seed, epoch):
            loss = cross_entropy(net(features[rows])["video"], targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return net(features)["gamma"]


def test_the_localiser_from_its_table():
    for modalities in (2, 1):
        torch.manual_seed(modalities)
        ours = Localiser(WIDTH, HIDDEN, CATEGORIES, tracks=modalities)
        rebuilt = Rebuilt(WIDTH, HIDDEN, CATEGORIES, modalities)
        rebuilt.load_state_dict(ours.state_dict())
        x = torch.randn(4, SEGMENTS, WIDTH)
        out = ours({"features": x})
        for name, expected in rebuilt(x).items():
            torch.testing.assert_close(out[name], expected, atol=1e-6, rtol=0)
        z = torch.eye(CATEGORIES)[:4]
        torch.testing.assert_close(mil_loss(out["video"], z), cross_entropy(out["video"], z))


def test_three_rounds_from_their_tables():
    features = torch.randn(CLIPS, SEGMENTS, WIDTH, generator=torch.Generator().manual_seed(0))
    data = dict.fromkeys(("train", "val", "test"), features)
    gamma = ours = None
    for _ in range(3):
        probabilities = e_step(features, gamma, seed=3)
        labels = expectation(
            features,
            ours,
            categories=CATEGORIES,
            k=K,
            hidden=32,
            epochs=5,
            seed=3,
            device="cpu",
        )
        torch.testing.assert_close(labels.probabilities, probabilities, atol=1e-5, rtol=0)
        targets = targets_of(labels)
        assert torch.equal(targets.argmax(1), probabilities.argmax(1))
        gamma = m_step(features, targets, seed=3)
        net, _ = maximisation(data, targets, hidden=HIDDEN, epochs=3, seed=3, device="cpu")
        ours = localise(net, features)["gamma"]
        torch.testing.assert_close(ours, gamma, atol=1e-5, rtol=0)
