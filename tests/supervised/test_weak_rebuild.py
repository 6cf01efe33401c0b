"""The weak head a second time, written from the table "To rebuild this" of the page on weak
supervision: with our weights it gives our outputs and our loss."""

import re

import pytest
import torch
from processes import ROOT
from torch.nn import functional as F

from avbook.show.pages import read_page
from avbook.supervised.avel import AVEHead, video_loss
from avbook.supervised.psp import PSP

PAGE = ROOT / "nbs/2_supervised/04_weak.ipynb"


def weights_of_the_table() -> dict[str, str]:
    """The weights that the page's table names, each with what it says of bias and start."""
    text = read_page(PAGE, ROOT / "nbs").words("markdown")
    found = next(p for p in re.split(r"^##+ ", text, flags=re.M) if p.startswith("To rebuild this"))
    rows = [line.strip("|").split("|") for line in found.splitlines() if line.startswith("|")]
    return {name: row[3].strip() for row in rows for name in re.findall(r"`(\S+)`", row[-1])}


def test_the_table_names_every_weight_of_the_head():
    with torch.device("meta"):
        head = {name for name, _ in PSP(weak=True).named_parameters() if name.startswith("head.")}
    assert {f"{name}.weight" for name in weights_of_the_table()} == head
    assert all(kind.startswith("no bias") for kind in weights_of_the_table().values())


def test_the_start_is_the_tables():
    torch.manual_seed(0)
    head = PSP(weak=True).state_dict()
    for name, kind in weights_of_the_table().items():
        out, into = head[f"{name}.weight"].shape
        bound = (6 / (into + out) if kind.endswith("Xavier") else 1 / into) ** 0.5
        assert 0.8 * bound < float(head[f"{name}.weight"].abs().max()) <= bound, name


@pytest.mark.parametrize("branch", ["released", "Eq. 5", "none"])
def test_a_head_built_from_the_table_is_ours(branch):
    torch.manual_seed(0)
    ours = AVEHead(256, weak=True, weighting=branch != "none", weighting_relu=branch == "released")
    ours, fused = ours.double(), torch.randn(3, 10, 256, dtype=torch.float64)
    weights = ours.state_dict()
    scores = F.linear(F.linear(fused, weights["hidden.weight"]).relu(), weights["score.weight"])
    if branch != "none":
        step3 = F.linear(scores, weights["weight.weight"])
        scores = scores * torch.sigmoid(step3.relu() if branch == "released" else step3)
    video = scores.mean(1).softmax(-1)
    classes = torch.full((3, 10), 28)
    classes[0, 2:5], classes[1] = 3, 7
    label = F.one_hot(classes, 29).double().mean(1)
    loss = -(label * video.log() + (1 - label) * (1 - video).log()).mean()
    with torch.no_grad():
        out = ours(fused)
    torch.testing.assert_close(out["scores"], scores, atol=1e-12, rtol=0)
    torch.testing.assert_close(out["video_scores"], video, atol=1e-12, rtol=0)
    torch.testing.assert_close(video_loss(out["video_scores"], label), loss, atol=1e-12, rtol=0)
