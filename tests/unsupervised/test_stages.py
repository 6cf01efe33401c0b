"""`tools/trace_categories.py`: what it measures, and that what it wrote is of today's settings."""

import json

import numpy as np
import pytest
import torch
import trace_categories as tool
from processes import ROOT

from avbook.experiments.recipes import find_recipe


def stored():
    return json.loads((ROOT / "nbs/4_unsupervised/stages.json").read_text(encoding="utf-8"))


def test_the_stored_stages_are_those_of_the_presets_and_of_both_worlds():
    """Where this turns red, run `python tools/trace_categories.py` and the page on the stages."""
    hashes = {"trained": "94dd19f0afad", "random": "035b76623a55"}
    for name, worlds in {"quick": ("trained", "random"), "paper": ("trained",)}.items():
        part = stored()["parts"][name]
        assert part["preset"] == find_recipe("cmlcl").preset(name)
        assert part["data"] == {filters: hashes[filters] for filters in worlds}
        assert [(run["filters"], run["seed"]) for run in part["runs"]] == [
            (filters, seed) for filters in worlds for seed in range(3)
        ]


@pytest.mark.parametrize("only", ["quick", "paper"])
def test_one_part_made_again_leaves_the_other_with_what_it_was_made_of(only, monkeypatch, tmp_path):
    before = stored()
    for part in before["parts"].values():
        part["preset"] = {"old": True}
    monkeypatch.setattr(tool, "OUT", tmp_path / "stages.json")
    tool.OUT.write_text(json.dumps(before), encoding="utf-8")
    monkeypatch.setattr(tool, "measure", lambda name: {"made again": name})
    tool.main(["--only", only])
    after = json.loads(tool.OUT.read_text(encoding="utf-8"))
    assert after == before | {"parts": before["parts"] | {only: {"made again": only}}}
    assert list(after["parts"]) == ["quick", "paper"]


def test_a_picture_of_the_same_clip_is_found():
    sound = torch.eye(6)[:, None].expand(6, 4, 6)
    assert tool.same_clip(torch.cat([sound, sound], -1)) == 100
    assert tool.same_clip(torch.cat([sound, sound.roll(1, 0)], -1)) == 0


def test_sets_from_the_truth_are_of_the_category_or_of_no_other():
    truth = np.repeat([0, 1, 2], 5)
    same, other = (tool.drawn(truth, 3, np.random.default_rng(0), how) for how in (True, False))
    assert (truth[same] == truth[:, None]).all() and (truth[other] != truth[:, None]).all()
    assert (same != torch.arange(15)[:, None]).all()


def test_neighbours_and_groups_of_clips_whose_category_is_plain():
    truth = np.repeat(np.arange(4), 5)
    noise = 0.01 * torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    found = tool.look(torch.eye(4)[truth] + noise, truth, 0, {"k": 3, "categories": 4})
    assert found["purity"] == found["neighbours"] == 100 and 0 < found["repulsion in use"] <= 100


def test_certainty_is_cheaper_where_clips_are_sure():
    flat, sure = torch.zeros(4, 5).log_softmax(-1), (9 * torch.eye(5)[:4]).log_softmax(-1)
    near = far = flat[:, None]
    for own in (flat, sure):
        entropy = -(own.exp() * own).sum(-1).mean()
        extra = tool.with_certainty(own, near, far)[0] - tool.PRINTED(own, near, far)[0]
        assert extra == pytest.approx(float(tool.CERTAINTY * entropy), abs=1e-6)
