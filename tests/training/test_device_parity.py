"""On a CUDA card: what every method computes there is what it computes on the CPU.

`AVBOOK_TEST_DEVICE=cpu` runs the same tests on the CPU, to see that they run."""

import os

import numpy as np
import pytest
import torch
from made_folders import write_ave, write_llp
from tiny import Data, Method, Net

from avbook.data.ave import AVE
from avbook.data.llp import LLP
from avbook.experiments.datasets import data_dims
from avbook.experiments.recipes import RECIPES, find_recipe
from avbook.parsing.refinement import refine
from avbook.training.batches import DeviceSplit
from avbook.training.device import seed_everything
from avbook.training.loop import fit, predict_all
from avbook.unsupervised.neighbours import contrastive_sets

DEVICE = torch.device(os.environ.get("AVBOOK_TEST_DEVICE", "cuda"))
CUDA = DEVICE.type == "cuda"
pytestmark = pytest.mark.skipif(CUDA and not torch.cuda.is_available(), reason="needs a CUDA card")
NETWORKS = [name for name, recipe in RECIPES.items() if recipe.build is not None]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    top = tmp_path_factory.mktemp("data")
    return {"ave": AVE(write_ave(top / "ave")[0]), "llp": LLP(write_llp(top / "llp")[0])}


@pytest.fixture(autouse=True)
def exact():
    """Products of float32 numbers are made in float32, convolutions and LSTMs as well."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("name", NETWORKS)
def test_losses_gradients_and_predictions_are_those_of_the_cpu(name, data):
    recipe = find_recipe(name)
    split = data[recipe.task].train
    losses, gradients, predicted = [], [], []
    for device in (torch.device("cpu"), DEVICE):
        seed_everything(0)
        net, method = recipe.build(recipe.preset("quick"), data_dims(data[recipe.task]))
        net.to(device).eval()  # dropout draws other numbers on another device
        with torch.backends.cudnn.flags(
            enabled=False
        ):  # whose LSTM has gradients in training alone
            loss, _ = method.loss(net, {k: v.to(device) for k, v in split.batch(range(8)).items()})
            loss.backward()
        losses.append(loss.item())
        gradients.append({k: p.grad.cpu() for k, p in net.named_parameters() if p.grad is not None})
        predicted.append(predict_all(net, method, split, 5, device))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4, abs=1e-5)
    assert gradients[0].keys() == gradients[1].keys() and gradients[0]
    for key, expected in gradients[0].items():
        size = expected.abs().max().item()
        torch.testing.assert_close(gradients[1][key], expected, rtol=1e-3, atol=1e-3 * size + 1e-7)
    one, other = ((p if isinstance(p, dict) else {"": p}) for p in predicted)
    for key, expected in one.items():
        differ = (one[key] - other[key]).abs().double().mean().item()
        assert differ <= 0.02 * max(1.0, expected.abs().double().mean().item())


def test_a_split_lies_on_the_device(data):
    split = data["ave"].train
    found = DeviceSplit(split, DEVICE, chunk=5).batch([3, 0, 3])
    for name, expected in split.batch([3, 0, 3]).items():
        assert found[name].device.type == DEVICE.type and torch.equal(found[name].cpu(), expected)


@pytest.mark.parametrize("n", [300, 20_000])  # in float64, and in float32 checked afterwards
def test_neighbours_are_those_of_the_cpu(n):
    x = torch.randn(n, 16, generator=torch.Generator().manual_seed(0))
    one, other = (contrastive_sets(x, 5, device=device) for device in ("cpu", DEVICE))
    assert torch.equal(one.affinity, other.affinity)
    assert torch.equal(one.repulsion, other.repulsion)


def test_refinement_keeps_the_labels_that_the_cpu_keeps(data):
    recipe, train = find_recipe("han"), data["llp"].train
    found = []
    for device in (torch.device("cpu"), DEVICE):
        seed_everything(0)
        net, _ = recipe.build(recipe.preset("quick"), data_dims(data["llp"]))
        found.append(refine(net.to(device), train, range(25)))
    for name, expected in found[0].probabilities.items():
        assert np.allclose(found[1].probabilities[name], expected, atol=1e-4)
    assert np.array_equal(found[0].partners, found[1].partners)


@pytest.mark.parametrize("precision", ["no", *(["bf16", "fp16"] if CUDA else [])])
def test_a_run_that_was_cut_off_continues(tmp_path, precision):
    def run(epochs, out):
        seed_everything(0)
        options = {"device": DEVICE.type, "precision": precision, "progress": False}
        return fit(
            Net(), Method(), Data(), epochs=epochs, batch_size=8, lr=1e-2, out=out, **options
        )

    whole = run(6, tmp_path / "whole")
    run(3, tmp_path / "run")
    parts = run(6, tmp_path / "run")
    assert [e["loss"] for e in parts.history] == pytest.approx(
        [e["loss"] for e in whole.history], rel=1e-3
    )
    assert whole.peak_memory_mb > 0 and whole.device.startswith(DEVICE.type)
    assert whole.history[-1]["loss"] < whole.history[0]["loss"]
