"""Networks that memory cannot hold are refused from their size, before they are built."""

import pytest
import torch

from avbook.errors import AvbookError
from avbook.experiments import memory
from avbook.experiments.memory import check_memory, memory_of
from avbook.experiments.recipes import RECIPES, find_recipe

DIMS = {
    "ave": {"categories": 28, "audio_dim": 128, "visual_dim": 512, "positions": 49},
    "llp": {"categories": 25, "audio_dim": 128, "visual_2d_dim": 2048, "visual_3d_dim": 512},
}
BUILT = [name for name, recipe in RECIPES.items() if recipe.build]


def built(name, preset="paper", **options):
    recipe = find_recipe(name)
    return lambda: recipe.build(recipe.preset(preset) | options, DIMS[recipe.task])[0]


@pytest.mark.parametrize("name", BUILT)
def test_the_size_is_that_of_the_network(name, monkeypatch):
    need = 4 * sum(p.numel() * p.element_size() for p in built(name)().parameters())
    monkeypatch.setattr(memory, "memory_of", lambda device: need)
    check_memory(name, built(name))
    monkeypatch.setattr(memory, "memory_of", lambda device: need - 1)
    with pytest.raises(AvbookError, match=f"{name}: training holds .* choose smaller widths"):
        check_memory(name, built(name))


@pytest.mark.parametrize("name, option", [("psp-full", "hidden"), ("ma", "hidden")])
def test_the_widest_network_is_refused_and_never_made(name, option, monkeypatch):
    monkeypatch.setattr(memory, "memory_of", lambda device: 8 * 2**30)
    widest = find_recipe(name).options[option].most
    with pytest.raises(AvbookError, match="there are 8.0 GiB") as error:
        check_memory(name, built(name, **{option: widest, "width": widest}))
    assert "\n" not in str(error.value)


def test_looking_draws_no_random_number(monkeypatch):
    state = torch.get_rng_state()
    check_memory("psp-full", built("psp-full", "quick"))
    assert torch.equal(state, torch.get_rng_state())


def test_a_network_that_computes_with_its_weights_passes():
    def build():
        net = torch.nn.Linear(2, 2)
        net.weight.sum().item()
        return net

    check_memory("own", build)


def test_this_machine_has_memory():
    found = memory_of("cpu")
    assert found is None or found > 2**28
