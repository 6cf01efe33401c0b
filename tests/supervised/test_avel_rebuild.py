"""AVEL and its attention, written from the tables "To rebuild this" of their pages, give the
outputs of the package's modules with the same weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from avbook.supervised.attention import AudioGuidedAttention, SelfAttention
from avbook.supervised.avel import AVEL, segment_loss, video_loss

SIZES = dict(a=128, v=512, p=49, d=512, hidden=128, head=64)


class Attention(nn.Module):
    """The seven steps of 01_attention."""

    def __init__(self, a, v, p, d):
        super().__init__()
        self.visual, self.audio = nn.Linear(v, d), nn.Linear(a, d)
        self.visual_units = nn.Linear(d, p, bias=False)
        self.audio_units = nn.Linear(d, p, bias=False)
        self.score = nn.Linear(p, 1, bias=False)

    def forward(self, audio, visual):
        rows = visual.detach().flatten(2, 3)  # (B, T, 49, 512), the grid row by row
        u, g = torch.relu(self.visual(rows)), torch.relu(self.audio(audio))
        z = torch.tanh(self.visual_units(u) + self.audio_units(g)[..., None])
        weights = self.score(z)[..., 0].softmax(-1)
        return (weights[..., None] * rows).sum(2), weights


class Rebuilt(nn.Module):
    """The seven steps of 02_avel, and its options."""

    def __init__(self, inputs="raw", head_bias=True, weak=False, weighting=False, pool="mean"):
        super().__init__()
        a, v, p, d, hidden, head = SIZES.values()
        self.encoder, self.head = nn.Module(), nn.Module()
        a_width, v_width = a, v
        self.encoder.audio_in = self.encoder.visual_in = nn.Identity()
        if inputs == "two-layer":
            self.encoder.audio_in, self.encoder.visual_in = (
                nn.Sequential(nn.Linear(n, 256, bias=False), nn.Linear(256, 128, bias=False))
                for n in (a, v)
            )
            a_width = v_width = 128
        elif inputs == "one-layer":
            self.encoder.visual_in, v_width = nn.Linear(v, 128), 128
        self.encoder.attention = Attention(a_width, v, p, d)
        lstm = dict(hidden_size=hidden, batch_first=True, bidirectional=True)
        self.encoder.lstm_visual = nn.LSTM(v_width, **lstm)
        self.encoder.lstm_audio = nn.LSTM(a_width, **lstm)
        self.head.hidden = nn.Linear(4 * hidden, head, bias=head_bias)
        self.head.score = nn.Linear(head, 29, bias=head_bias)
        if weak and weighting:
            self.head.weight = nn.Linear(29, 1, bias=False)
        self.weak, self.weighting, self.pool = weak, weighting, pool

    def forward(self, audio, visual):
        parts, out = self.encoder, {}
        audio = parts.audio_in(audio)
        attended, out["attention"] = parts.attention(audio, visual)
        out["v_lstm"] = parts.lstm_visual(parts.visual_in(attended))[0]
        out["a_lstm"] = parts.lstm_audio(audio)[0]
        out["fusion"] = torch.relu(torch.cat([out["a_lstm"], out["v_lstm"]], -1))
        out["similarity_avps"] = F.cosine_similarity(out["v_lstm"], out["a_lstm"], -1, eps=1e-8)
        scores = self.head.score(torch.relu(self.head.hidden(out["fusion"])))
        if self.weak and self.weighting:
            out["phi"] = torch.sigmoid(torch.relu(self.head.weight(scores)))
            scores = scores * out["phi"]
        if self.weak:
            pooled = scores.mean(1) if self.pool == "mean" else scores.max(1).values
            out["video_scores"] = pooled.softmax(-1)
        return out | {"scores": scores}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weak": True},
        {"weak": True, "pool": "max"},
        {"weak": True, "weighting": True, "inputs": "one-layer"},
        {"inputs": "two-layer", "head_bias": False},
    ],
    ids=str,
)
def test_the_table_of_avel_is_enough(options):
    torch.manual_seed(0)
    net, rebuilt = AVEL(**options).double(), Rebuilt(**options).double()
    rebuilt.load_state_dict(net.state_dict())  # the same names and shapes
    audio = torch.rand(2, 10, 128, dtype=torch.float64)
    visual = torch.rand(2, 10, 7, 7, 512, dtype=torch.float64)
    ours, theirs = net({"audio": audio, "visual": visual}), rebuilt(audio, visual)
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, atol=1e-10, rtol=0)


def test_the_table_holds_in_single_precision():
    torch.manual_seed(1)
    net, rebuilt = AVEL(), Rebuilt()
    rebuilt.load_state_dict(net.state_dict())
    audio, visual = torch.rand(1, 10, 128), torch.rand(1, 10, 7, 7, 512)
    ours, theirs = net({"audio": audio, "visual": visual}), rebuilt(audio, visual)
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, atol=1e-6, rtol=0)


def test_the_table_of_the_attention_is_enough():
    torch.manual_seed(0)
    net, rebuilt = AudioGuidedAttention().double(), Attention(128, 512, 49, 512).double()
    rebuilt.load_state_dict(net.state_dict())
    audio = torch.rand(2, 3, 128, dtype=torch.float64)
    visual = torch.rand(2, 3, 7, 7, 512, dtype=torch.float64)
    for ours, theirs in zip(net(audio, visual), rebuilt(audio, visual)):
        torch.testing.assert_close(theirs, ours, atol=1e-10, rtol=0)


def test_the_formula_of_self_attention_is_enough():
    net = SelfAttention(6).double()
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    q, k, v = (x @ layer.weight.T + layer.bias for layer in (net.query, net.key, net.value))
    weights = (q @ k.transpose(1, 2) / 6**0.5).softmax(-1)
    torch.testing.assert_close(net(x), x + weights @ v, atol=1e-12, rtol=0)


def test_the_lines_on_initialisation_and_losses():
    torch.manual_seed(0)
    net = AVEL(weak=True, weighting=True, inputs="two-layer")
    xavier, default = "attention.visual", "audio_in.0"
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Linear):
            outputs, inputs = layer.weight.shape
            by_default = "_in" in name or name == "head.weight"
            bound = inputs**-0.5 if by_default else (6 / (inputs + outputs)) ** 0.5
            assert 0.9 * bound < layer.weight.abs().max() <= bound, name
            if layer.bias is not None:
                assert layer.bias.abs().max() <= inputs**-0.5, name
    assert any(xavier in name for name, _ in net.named_modules())
    assert any(default in name for name, _ in net.named_modules())
    scores = torch.randn(2, 10, 29)
    labels = F.one_hot(torch.randint(29, (2, 10)), 29).float()
    by_hand = -(labels * scores.log_softmax(-1)).sum() / 20
    torch.testing.assert_close(segment_loss(scores, labels), by_hand)
    p, y = scores.mean(1).softmax(-1), labels.mean(1)
    by_hand = -(y * p.log() + (1 - y) * (1 - p).log()).sum() / (2 * 29)
    torch.testing.assert_close(video_loss(p, y), by_hand)
