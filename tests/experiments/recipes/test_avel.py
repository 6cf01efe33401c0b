"""AVEL as recipes with one modality: trained on the world, read back, and what is refused."""

import numpy as np
import pytest
from tiny_runs import TINY

from avbook.errors import AvbookError
from avbook.experiments.models import load_model
from avbook.experiments.recipes import find_recipe
from avbook.experiments.runner import run_one

SIZES = {name: value for name, value in TINY.items() if name not in ("width", "bottleneck")}
LAM = {"avel-full": {"lam": 0.0}, "avel-weak": {}}  # the weak setting has no pair-similarity loss


@pytest.fixture(scope="module", params=["avel-full", "avel-weak"])
def recipe(request):
    return find_recipe(request.param)


@pytest.fixture(scope="module")
def data(recipe):
    return recipe.open_data("world:tiny")


def ask(recipe, data, out, **options):
    return run_one(
        recipe,
        data,
        seed=0,
        preset="quick",
        options=SIZES | options,
        device="cpu",
        out=out,
        progress=False,
    )


@pytest.mark.parametrize("modality, other", [("audio", "visual"), ("visual", "audio")])
def test_one_modality_trains_and_is_read_back(recipe, data, tmp_path, modality, other):
    ran = ask(recipe, data, tmp_path, modality=modality, **LAM[recipe.name])
    assert ran.record["options"]["modality"] == ran.record["settings"]["modality"] == modality
    assert np.isfinite([epoch["loss"] for epoch in ran.record["history"]]).all()
    assert f"modality={modality}" in ran.path.parent.name
    assert f"--set modality={modality}" in ran.record["command"]
    names = [name for name, _ in load_model(ran.path).named_parameters()]
    assert not any(other in name or "attention" in name for name in names)


def test_both_is_the_preset_s_value_and_no_option(recipe, data, tmp_path):
    assert recipe.preset("paper")["modality"] == recipe.preset("quick")["modality"] == "both"
    first = ask(recipe, data, tmp_path)
    assert ask(recipe, data, tmp_path, modality="both").path == first.path
    assert "modality" not in first.record["options"]


@pytest.mark.parametrize("modality", ["audio", "visual"])
def test_one_modality_with_the_pair_similarity_loss_is_refused_before_training(tmp_path, modality):
    full = find_recipe("avel-full")
    with pytest.raises(AvbookError, match=f"modality={modality} and lam=100: .* lam=0") as told:
        ask(full, full.open_data("world:tiny"), tmp_path, modality=modality)
    assert "\n" not in str(told.value)
    assert not list(tmp_path.rglob("*.json")) and not list(tmp_path.rglob("*.safetensors"))


def test_another_modality_is_refused(recipe, data, tmp_path):
    with pytest.raises(AvbookError, match="modality='sound': expected both, audio or visual"):
        ask(recipe, data, tmp_path, modality="sound")
