"""PSP a second time, written from the table "To rebuild this" on its page alone: with our weights
it gives our outputs, and the table names every weight there is."""

import re

import pytest
import torch
from processes import ROOT
from torch import nn
from torch.nn import functional as F

from avbook.show.pages import read_page
from avbook.supervised.psp import PSP, PSPMethod

PAGE = ROOT / "nbs/2_supervised/03_psp.ipynb"


def table_of_the_page() -> list[list[str]]:
    """The table's cells, without its head."""
    text = read_page(PAGE, ROOT / "nbs").words("markdown")
    section = re.split(r"^##+ ", text, flags=re.M)
    found = next(part for part in section if part.startswith("To rebuild this"))
    rows = [line.strip("|").split("|") for line in found.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_table_names_every_weight():
    in_table = {name for row in table_of_the_page() for name in re.findall(r"`([^`]+)`", row[-1])}
    networks = PSP(), PSP(weak=True)
    assert in_table == {
        name.rpartition(".")[0] for net in networks for name, _ in net.named_parameters()
    }


class Rebuilt:
    """The table, step by step, on a state dict in double precision."""

    def __init__(self, weights, weak):
        self.weights, self.weak = weights, weak

    def linear(self, name, x):
        bias = self.weights.get(f"{name}.bias")
        return F.linear(x, self.weights[f"{name}.weight"], bias)

    def lstm(self, name, x):
        net = nn.LSTM(128, 128, batch_first=True, bidirectional=True).double()
        before = f"encoder.{name}."
        own = {n.removeprefix(before): w for n, w in self.weights.items() if n.startswith(before)}
        net.load_state_dict(own)
        return net(x)[0]

    def attend(self, a, visual):
        v = visual.flatten(2, 3)  # (B, T, 49, 512)
        at = "encoder.attention."
        u = self.linear(f"{at}visual", v).relu()
        g = self.linear(f"{at}audio", a).relu()
        added = self.linear(f"{at}audio_units", g)[..., :, None]  # one number a position
        z = torch.tanh(self.linear(f"{at}visual_units", u) + added)
        alpha = self.linear(f"{at}score", z).softmax(2)
        return (alpha * v).sum(2)

    def cut(self, s):
        beta = s.relu() / (s.relu().sum(-1, keepdim=True) + 1e-8)
        gamma = torch.where(beta > 0.095, beta, 0.0)
        return gamma if self.weak else gamma / (gamma.sum(-1, keepdim=True) + 1e-8)

    def propagate(self, v, a):
        v1, v2 = (self.linear(f"propagation.{name}", v).relu() for name in ("v1", "v2"))
        a1, a2 = (self.linear(f"propagation.{name}", a).relu() for name in ("a1", "a2"))
        s = v2 @ a1.transpose(1, 2) / 256**0.5
        return v + self.cut(s) @ a2, a + self.cut(s.transpose(1, 2)) @ v1

    def finish(self, x, third):
        if not self.weak:
            x = self.linear(third, x).relu()
        scale, shift = self.weights["fusion.norm.weight"], self.weights["fusion.norm.bias"]
        return F.layer_norm(x, (256,), scale, shift, eps=1e-6)

    def __call__(self, audio, visual):
        a = audio
        layers = [] if self.weak else ["encoder.audio_in.0", "encoder.audio_in.1"]
        for layer in layers:
            a = self.linear(layer, a)
        v = self.attend(a, visual)
        two = ["encoder.visual_in.0", "encoder.visual_in.1"]
        for layer in ["encoder.visual_in"] if self.weak else two:
            v = self.linear(layer, v)
        v, a = self.propagate(self.lstm("lstm_visual", v), self.lstm("lstm_audio", a))
        v, a = self.finish(v, "fusion.v3"), self.finish(a, "fusion.a3")
        scores = self.linear("head.score", self.linear("head.hidden", (v + a) / 2).relu())
        out = {"cosine": F.cosine_similarity(v, a, dim=-1)}
        if self.weak:
            scores = scores * torch.sigmoid(self.linear("head.weight", scores).relu())
            out["video_scores"] = scores.mean(1).softmax(-1)
        return out | {"scores": scores}

    def loss(self, out, labels):
        if self.weak:
            return F.binary_cross_entropy(out["video_scores"], labels.mean(1))
        share = out["cosine"].relu() / (out["cosine"].relu().sum(1, keepdim=True) + 1e-8)
        event = (labels.argmax(-1) != 28).double()
        target = event / event.sum(1, keepdim=True)
        ce = F.cross_entropy(out["scores"].flatten(0, 1), labels.argmax(-1).flatten())
        return ce + 100 * ((share - target) ** 2).mean()


@pytest.mark.parametrize("weak", [False, True])
def test_a_network_built_from_the_table_is_ours(weak):
    torch.manual_seed(0)
    net = PSP(weak=weak).double().eval()
    classes = torch.full((3, 10), 28)
    classes[0, 2:5], classes[1], classes[2, 9] = 3, 7, 0
    labels = F.one_hot(classes, 29).double()
    batch = {
        "audio": torch.randn(3, 10, 128, dtype=torch.float64),
        "visual": torch.randn(3, 10, 7, 7, 512, dtype=torch.float64).relu(),
        "labels": labels,
        "video_labels": labels.mean(1),
    }
    rebuilt = Rebuilt(net.state_dict(), weak)
    with torch.no_grad():
        ours, theirs = net(batch), rebuilt(batch["audio"], batch["visual"])
        loss = PSPMethod(weak=weak).loss(net, batch)[0]
    assert 0.2 < float((ours["gamma_va"] == 0).double().mean()) < 0.8, "the cut has work to do"
    for name in ("scores", "video_scores") if weak else ("scores",):
        torch.testing.assert_close(theirs[name], ours[name], atol=1e-12, rtol=0)
    torch.testing.assert_close(rebuilt.loss(theirs, labels), loss, atol=1e-10, rtol=0)


def test_the_start_is_the_tables():
    """Layers that the table calls Xavier stay within Xavier's bound and fill it; the others stay
    within PyTorch's own."""
    torch.manual_seed(0)
    steps = table_of_the_page()
    for weak in (False, True):
        weights = PSP(weak=weak).state_dict()
        for row in steps:
            kind = row[3].partition("; ")[2]
            for name in re.findall(r"`([^`]+)`", row[-1]) if kind else ():
                weight = weights.get(f"{name}.weight")
                if weight is None:
                    continue
                out, into = weight.shape
                bound = (6 / (into + out) if kind == "Xavier" else 1 / into) ** 0.5
                assert 0.8 * bound < float(weight.abs().max()) <= bound, name
                assert (f"{name}.bias" in weights) == row[3].startswith("bias"), name
