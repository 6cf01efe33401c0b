"""CMRAN a second time, written from the tables "To rebuild this" on its page alone: with our
weights it gives our outputs, and the tables name every weight there is."""

import re

import pytest
import torch
from processes import ROOT
from torch.nn import functional as F

from avbook.show.pages import read_page
from avbook.supervised.cmran import CMRAN, CMRANMethod

PAGE = ROOT / "nbs/2_supervised/02a_cmran.ipynb"


def tables_of_the_page() -> tuple[set[str], set[str]]:
    """The weights that the table of the network and that of a relation layer name."""
    text = read_page(PAGE, ROOT / "nbs").words("markdown")
    found = next(p for p in re.split(r"^##+ ", text, flags=re.M) if p.startswith("To rebuild this"))
    rows = [line.strip("|").split("|") for line in found.splitlines() if line.startswith("|")]
    starts = [i for i, row in enumerate(rows) if row[0].strip() == "step"]
    parts = rows[: starts[1]], rows[starts[1] :]
    network, layer = (
        {name for row in part for name in re.findall(r"`([^`]+)`", row[-1])} for part in parts
    )
    return network, layer


def test_the_tables_name_every_weight():
    network, layer = tables_of_the_page()
    names = set()
    for name in network:
        names |= {f"{name}.{part}" for part in layer} if ".layers." in name else {name}
    inside = {".in_proj_weight", ".in_proj_bias", ".out_proj.weight", ".out_proj.bias"}
    weights = set()
    for name in names:
        attention = name.endswith("attention") and name != "attention"
        weights |= {name + part for part in (inside if attention else (".weight", ".bias"))}
    for weak in (False, True):
        with torch.device("meta"):
            assert weights == set(CMRAN(weak=weak).state_dict())


class Rebuilt:
    """The tables, step by step, on a state dict."""

    def __init__(self, weights, weak):
        self.weights, self.weak = weights, weak

    def linear(self, name, x):
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, name, x):
        weight, bias = (self.weights[f"{name}.{part}"] for part in ("weight", "bias"))
        return F.layer_norm(x, (256,), weight, bias, 1e-5)

    def attend(self, name, query, memory, heads):
        """Multi-head attention from its definition, not PyTorch's module."""
        matrix, bias = (self.weights[f"{name}.in_proj_{part}"] for part in ("weight", "bias"))
        q, k, v = (
            F.linear(x, w, b).unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, heads, ·, width)
            for x, w, b in zip((query, memory, memory), matrix.chunk(3), bias.chunk(3))
        )
        shares = (q @ k.mT / (256 / heads) ** 0.5).softmax(-1)
        return self.linear(f"{name}.out_proj", (shares @ v).transpose(1, 2).flatten(2))

    def relation(self, name, query, memory):
        found = self.attend(f"{name}.attention", query, memory, 4)  # a
        b = self.norm(f"{name}.first", query + found)
        c = self.linear(f"{name}.hidden", b).relu()
        return self.norm(f"{name}.second", b + self.linear(f"{name}.out", c))  # d

    def within(self, name, x):
        x = self.linear(f"{name}.project", x)
        for layer in (0, 1):
            x = self.relation(f"{name}.layers.{layer}", x, x)
        return x

    def across(self, name, x, other):
        query = self.linear(f"{name}.project", x)
        return self.relation(f"{name}.layers.0", query, torch.cat([other, query], 1))

    def __call__(self, audio, visual):
        step1 = self.linear("adapt", visual.flatten(2, 3)).relu()  # (B, T, 49, 512)
        mean = self.linear("attention.channel_visual", step1).relu().mean(2)
        step2 = mean * self.linear("attention.channel_audio", audio).relu()
        hidden = self.linear("attention.bottleneck", step2).relu()
        scale = 1 + self.linear("attention.channel_score", hidden).sigmoid()
        step3 = step1 * scale[:, :, None]
        fits = self.linear("attention.spatial_visual", step3).relu()
        fits = fits * self.linear("attention.spatial_audio", audio).relu()[:, :, None]
        step4 = self.linear("attention.spatial_score", fits).tanh()
        step5 = (step4.softmax(2) * step3).sum(2)
        step6 = self.within("visual_within", step5)
        step7 = self.within("audio_within", audio)
        step8 = self.across("visual_across", step5, step7)
        step9 = self.across("audio_across", audio, step6)
        product, memory = step8 * step9, torch.cat([step9, step8], 1)
        found = self.attend("interaction.attention", product, memory, 2 if self.weak else 4)
        step10 = self.norm("interaction.norm", product + found)
        step11 = self.linear("head.relevance", step10).squeeze(-1)
        step12 = self.linear("head.category", step10.max(1).values)
        out = {"relevance": step11, "category": step12}
        if self.weak:
            weighted = step11.sigmoid()[..., None] * step12[:, None]
            out["video_scores"] = weighted.max(1).values.softmax(-1)
        return out

    def predict(self, out):
        return torch.where(out["relevance"] <= 0, 28, out["category"].argmax(-1)[:, None])

    def loss(self, out, labels):
        is_event = labels[..., :28].sum(-1)
        some = is_event.any(1)
        if self.weak:
            tags = torch.cat([labels[..., :28].amax(1), (~some)[:, None]], 1)
            return F.binary_cross_entropy(out["video_scores"].sigmoid(), tags)
        binary = F.binary_cross_entropy(out["relevance"].sigmoid(), is_event)
        category = labels[some][..., :28].sum(1).argmax(-1)
        return binary + F.cross_entropy(out["category"][some], category)


@pytest.mark.parametrize("weak", [False, True])
def test_a_network_built_from_the_tables_is_ours(weak):
    torch.manual_seed(0)
    net = CMRAN(weak=weak).double().eval()
    classes = torch.full((3, 10), 28)
    classes[0, 2:5], classes[1] = 3, 7
    labels = F.one_hot(classes, 29).double()
    batch = {
        "audio": torch.randn(3, 10, 128, dtype=torch.float64),
        "visual": torch.randn(3, 10, 7, 7, 512, dtype=torch.float64).relu(),
        "labels": labels,
        "video_labels": labels.mean(1),
    }
    rebuilt, method = Rebuilt(net.state_dict(), weak), CMRANMethod(weak=weak)
    with torch.no_grad():
        ours, theirs = net(batch), rebuilt(batch["audio"], batch["visual"])
        loss = method.loss(net, batch)[0]
    for name in theirs:
        torch.testing.assert_close(theirs[name], ours[name], atol=1e-12, rtol=0)
    torch.testing.assert_close(rebuilt.loss(theirs, labels), loss, atol=1e-12, rtol=0)
    assert torch.equal(rebuilt.predict(theirs), method.predict(net, batch))


def test_the_start_is_the_tables():
    torch.manual_seed(0)
    weights = CMRAN().state_dict()
    for name, weight in weights.items():
        bound = None
        if name.endswith("in_proj_weight"):
            bound = (6 / sum(weight.shape)) ** 0.5
        elif weight.dim() == 2:
            bound = weight.shape[1] ** -0.5
        if bound is not None:
            assert 0.8 * bound < float(weight.abs().max()) <= bound, name
        if "norm" in name or name.split(".")[-2] in ("first", "second"):
            assert float(weight.std()) == 0 and float(weight[0]) == name.endswith("weight"), name
    for stream in ("visual_within", "audio_within"):
        first = f"{stream}.layers.0."
        assert all(
            torch.equal(weight, weights[name.replace(first, f"{stream}.layers.1.")])
            for name, weight in weights.items()
            if name.startswith(first)
        )
