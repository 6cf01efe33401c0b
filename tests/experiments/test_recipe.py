"""Recipes: settings, keys and the side-by-side runner's bookkeeping."""

import pytest

from avbook.errors import AvbookError
from avbook.experiments.datasets import open_data
from avbook.experiments.recipe import parse_options, resolve_settings
from avbook.experiments.recipes import find_recipe
from avbook.experiments.runner import run_key


class Data:
    name, hash, kind, folder = "world-tiny-0", "abc", "world", "somewhere"


def test_settings_of_a_preset_are_changed_only_by_real_options():
    recipe = find_recipe("psp-full")
    settings, changed = resolve_settings(recipe, "quick", {"tau": 0.1, "prune": "psp"})
    assert changed == {"tau": 0.1} and settings["tau"] == 0.1
    assert resolve_settings(recipe, "paper", {})[0]["attention_dim"] == 512
    assert resolve_settings(recipe, "quick", {})[0]["attention_dim"] < 512


def test_whole_numbers_may_be_given_for_real_ones_but_words_may_not():
    recipe = find_recipe("psp-full")
    assert resolve_settings(recipe, "quick", {"lam": 50})[0]["lam"] == 50.0
    for name, value in [
        ("tau", "high"),
        ("epochs", 2.5),
        ("stale_targets", 1),
        ("prune", 3),
        ("epochs", True),
        ("epochs", 0),
    ]:
        with pytest.raises(AvbookError, match=name):
            resolve_settings(recipe, "quick", {name: value})


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: find_recipe("psp-ful"), "did you mean psp-full"),
        (
            lambda: resolve_settings(find_recipe("psp-full"), "quick", {"taw": 1}),
            "did you mean tau",
        ),
        (lambda: resolve_settings(find_recipe("psp-full"), "slow", {}), "expected paper or quick"),
        (lambda: parse_options(["tau"]), "name=value"),
        (lambda: open_data("/no/such/folder"), "no such folder"),
        (lambda: open_data("world:tiny:x"), "world:SIZE:SEED"),
        (lambda: open_data("world:tiny:0:0"), "world:SIZE:SEED"),
        (lambda: open_data("world", "avel"), "task 'avel': unknown; expected 'ave' or 'llp'"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(call, words):
    with pytest.raises(AvbookError, match=words) as error:
        call()
    assert "\n" not in str(error.value)


def test_values_are_read_as_json_where_they_are_json():
    assert parse_options(["tau=0.1", "literal=true", "prune=asp"]) == {
        "tau": 0.1,
        "literal": True,
        "prune": "asp",
    }
    assert parse_options(["tau=" + 5000 * "1"]) == {"tau": 5000 * "1"}


def test_a_key_differs_with_the_setting_and_with_the_data_and_is_a_file_name():
    recipe = find_recipe("psp-full")
    other = type("Other", (Data,), {"hash": "abd"})
    keys = {
        run_key(recipe, "quick", {}, Data),
        run_key(recipe, "paper", {}, Data),
        run_key(recipe, "quick", {"tau": 0.1}, Data),
        run_key(recipe, "quick", {}, other),
        run_key(find_recipe("psp-full"), "quick", {"prune": "a/b c"}, Data),
    }
    assert len(keys) == 5
    assert all("/" not in key and " " not in key for key in keys)
    assert run_key(recipe, "quick", {}, Data) == run_key(recipe, "quick", {}, Data)
