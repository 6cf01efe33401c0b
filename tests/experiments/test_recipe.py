"""Recipes: settings, keys and the side-by-side runner's bookkeeping."""

import pytest

from avbook.errors import AvbookError
from avbook.experiments.datasets import open_data
from avbook.experiments.keys import run_key
from avbook.experiments.recipe import parse_options, resolve_settings
from avbook.experiments.recipes import find_recipe


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
        (lambda: open_data("world:tiny:0:0"), "features '0': unknown; expected one of random, tr"),
        (lambda: open_data("world:tiny:0:trained:0"), "world:SIZE:SEED:FEATURES"),
        (lambda: open_data("world", "avel"), "task 'avel': unknown; expected 'ave' or 'llp'"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(call, words):
    with pytest.raises(AvbookError, match=words) as error:
        call()
    assert "\n" not in str(error.value)


def test_values_are_read_as_json_where_they_are_json():
    assert parse_options(["tau=0.1", "literal=true", "prune=asp", "kl_cap=log C"]) == {
        "tau": 0.1,
        "literal": True,
        "prune": "asp",
        "kl_cap": "log C",
    }
    assert parse_options([], epochs=3) == {"epochs": 3} and parse_options([], epochs=None) == {}


@pytest.mark.parametrize(
    "pairs, epochs, words",
    [
        (["tau=1", "tau=2"], None, "--set tau=… is given twice"),
        (["tau=1", "lr=1", "tau=1"], None, "--set tau=… is given twice"),
        (["epochs=4"], 3, "--epochs 3 and --set epochs=4 name the same option"),
        (["tau=NaN"], None, "--set tau=NaN: expected a finite number"),
        (["tau=Infinity"], None, "expected a finite number"),
        (["tau=-Infinity"], None, "expected a finite number"),
        (["tau=1e999"], None, "--set tau=1e999: expected a finite number"),
        (["tau=[1, NaN]"], None, "expected a finite number"),
        (["epochs=" + 5000 * "1"], None, r"1… \(5,000 characters\): expected a finite number"),
        (["tau=" + 5000 * "1" + ".5"], None, "expected a finite number"),
        (["tau=" + 100_000 * "["], None, "nested too deeply"),
        (5000 * ["x" * 5000], None, r"x… \(5,000 characters\)': expected name=value"),
    ],
)
def test_what_is_given_twice_or_is_no_finite_number_is_refused(pairs, epochs, words):
    with pytest.raises(AvbookError, match=words) as error:
        parse_options(pairs, epochs)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_an_option_of_too_many_digits_is_refused_in_a_short_line():
    for value in (10**400, -(10**6000), "x" * 10**5, [0] * 10**5):
        with pytest.raises(AvbookError, match="epochs=") as error:
            resolve_settings(find_recipe("psp-full"), "quick", {"epochs": value})
        assert len(str(error.value)) < 300


def test_what_is_no_folder_is_told(tmp_path):
    (tmp_path / "labels.h5").write_text("")
    for where, words in [
        (str(tmp_path / "labels.h5"), f"is a file: give its folder, {tmp_path}"),
        (str(tmp_path / "none"), "no such folder"),
        ("", "no such folder"),
        ("a" * 5000, "cannot be accessed"),
        ("a\0b", "cannot be accessed|no such folder"),
        ("world:tiny:" + 5000 * "1", "world:SIZE:SEED"),
    ]:
        with pytest.raises(AvbookError, match=words) as error:
            open_data(where)
        assert "\n" not in str(error.value) and len(str(error.value)) < 400


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
