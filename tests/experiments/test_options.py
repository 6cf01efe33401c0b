"""Options: what a field declares, what is refused and in which words, and that every value ever run
or printed in a paper is allowed."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from processes import ROOT

from avbook.errors import AvbookError
from avbook.experiments.options import Schedule, Threads, as_word, hint, option, options_of
from avbook.experiments.recipe import Recipe, pick, resolve_settings
from avbook.experiments.recipes import RECIPES, find_recipe
from avbook.experiments.recipes.cmlcl_options import (
    Backbone,
    Pretext,
    read_kl_cap,
)
from avbook.papers import ORDERING_CLAIMS, TABLES


@dataclass(frozen=True)
class Kernel:
    kernel: int = option(3, "seconds that it spans", choices=(1, 3, 5))


@dataclass(frozen=True)
class Smooth(Kernel, Schedule):
    """Bases from left to right, then its own."""

    rate: float = option(0.5, "τ, a share", least=0, below=1)
    epochs: int = 8


def recipe(settings=Smooth, quick=None) -> Recipe:
    return Recipe("smooth", "ave", "", settings, quick or {})


# --------------------------------------------------------------------------------------- declaring
def test_options_stand_in_reading_order_and_a_subclass_may_change_a_default_alone():
    found = options_of(Smooth)
    assert list(found) == ["kernel", *options_of(Schedule), "rate"]
    assert list(options_of(Schedule))[-2:] == ["precision", "threads"]
    assert found["epochs"].default == 8 and options_of(Schedule)["epochs"].default == 300
    assert found["epochs"].meaning == options_of(Schedule)["epochs"].meaning
    with pytest.raises(AvbookError, match="epochs=0: expected a whole number, at least 1"):
        resolve_settings(recipe(), "paper", {"epochs": 0})


def test_a_default_becomes_its_type_and_the_quick_preset_as_well():
    @dataclass(frozen=True)
    class Whole(Threads):
        lr: float = option(1, "learning rate", above=0)

    made = recipe(Whole, {"lr": 2, "threads": 1.0})
    assert as_word(made.preset("paper")["lr"]) == "1.0"
    assert json.dumps(made.preset("quick")) == '{"threads": 1, "lr": 2.0}'


@dataclass(frozen=True)
class NoMeaning(Threads):
    width: int = 64


@dataclass(frozen=True)
class NoType(Threads):
    width: list = option(64, "width")


@dataclass(frozen=True)
class OutOfRange(Threads):
    width: int = option(0, "width", least=1)


@dataclass(frozen=True)
class OutOfRangeBelow(Kernel):
    kernel: int = 4


@pytest.mark.parametrize(
    "settings, quick, words",
    [
        ({"width": 64}, {}, "expected a dataclass"),
        (NoMeaning, {}, "NoMeaning.width: expected a field declared as"),
        (NoType, {}, "NoType.width: .*list.*: expected bool, int, float or str"),
        (OutOfRange, {}, "OutOfRange: option width=0: expected a whole number, at least 1"),
        (OutOfRangeBelow, {}, "OutOfRangeBelow: option kernel=4: expected 1, 3 or 5"),
        (Smooth, {"epoch": 1}, "smooth has no option 'epoch' .did you mean epochs"),
        (Smooth, {"rate": 1.0}, "smooth: option rate=1.0: expected a number, at least 0 and below"),
    ],
)
def test_a_recipe_that_declares_nonsense_is_refused_when_it_is_made(settings, quick, words):
    with pytest.raises(AvbookError, match=words) as error:
        recipe(settings, quick)
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------------------------------- checking
@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("psp-full", {"tau": "high"}, "a number, at least 0 and at most 1"),
        ("psp-full", {"tau": -0.01}, "a number, at least 0 and at most 1"),
        ("psp-full", {"tau": 1.01}, "a number, at least 0 and at most 1"),
        ("psp-full", {"tau": float("nan")}, "a number, at least 0 and at most 1"),
        ("psp-full", {"tau": None}, "a number, at least 0 and at most 1"),
        ("psp-full", {"tau": [0.1]}, "a number, at least 0 and at most 1"),
        ("psp-full", {"lr": 0}, "a number, above 0 and at most 10"),
        ("psp-full", {"lr": float("inf")}, "a number, above 0 and at most 10"),
        ("psp-full", {"lr": -1}, "a number, above 0 and at most 10"),
        ("psp-full", {"dropout": 5}, "a number, at least 0 and below 1"),
        ("psp-full", {"hidden": 0}, "a whole number, at least 1 and at most 65536"),
        ("psp-full", {"hidden": 3_000_000}, "a whole number, at least 1 and at most 65536"),
        ("ma", {"width": 3_000_000}, "a whole number, at least 1 and at most 65536"),
        ("cmlcl", {"categories": 3_000_000}, "a whole number, at least 2 and at most 65536"),
        ("ma", {"partners": 10**9}, "a whole number, at least 1 and at most 1000"),
        ("psp-full", {"dropout": 1}, "a number, at least 0 and below 1"),
        ("psp-full", {"decay": 0.0}, "a number, above 0 and at most 1"),
        ("psp-full", {"epochs": 2.5}, "a whole number, at least 1"),
        ("psp-full", {"epochs": 0}, "a whole number, at least 1"),
        ("psp-full", {"epochs": True}, "a whole number, at least 1"),
        ("psp-full", {"epochs": float("inf")}, "a whole number, at least 1"),
        ("psp-full", {"threads": -2}, "a whole number, at least 0 and at most 1024"),
        ("psp-full", {"threads": 10**9}, "a whole number, at least 0 and at most 1024"),
        ("psp-full", {"strict": 1}, "true or false"),
        ("psp-full", {"strict": "True"}, "true or false"),
        ("psp-full", {"prune": 3}, "psp, wpsp, asp, sapsp or none"),
        ("cmran-full", {"decay_at": "20,10"}, "rising epochs such as 10,20,30, or none"),
        ("cmran-full", {"decay_at": "10,ten"}, "rising epochs such as 10,20,30, or none"),
        ("cmran-full", {"decay_at": "0,5"}, "rising epochs such as 10,20,30, or none"),
        ("cmran-weak", {"clip": -1}, "a number, at least 0 and at most 1e+06"),
        ("psp-full", {"prune": "wpp"}, "psp, wpsp, asp, sapsp or none"),
        ("cmlcl", {"kl_cap": 10}, "log C, none or nats, such as 10nats"),
        ("cmlcl", {"kl_cap": "-1nats"}, "log C, none or nats, such as 10nats"),
        ("cmlcl", {"kl_cap": "nannats"}, "log C, none or nats, such as 10nats"),
        ("cmlcl", {"represent_epochs": -1}, "a whole number, at least 0"),
        ("cmlcl", {"k": 0}, "a whole number, at least 1"),
        ("cmlcl", {"theta": 1.5}, "a number, at least 0 and at most 1"),
        ("cluster", {"features": "rawest"}, "learned or raw"),
        ("rule", {"rule": "speech"}, "nothing or weak-label"),
    ],
)
def test_another_type_a_value_out_of_range_and_a_word_that_is_no_choice_are_refused(
    name, value, expected
):
    ((key, given),) = value.items()
    with pytest.raises(AvbookError) as error:
        resolve_settings(find_recipe(name), "quick", value)
    said = str(error.value)
    assert said.startswith(f"{name}: option {key}={given!r}") and said.endswith(
        f": expected {expected}"
    )


def test_a_word_near_a_choice_is_answered_with_it():
    with pytest.raises(AvbookError, match="prune='wpp' .did you mean wpsp"):
        resolve_settings(find_recipe("psp-full"), "quick", {"prune": "wpp"})
    assert hint("zzz", RECIPES) == "" and hint("hann", RECIPES) == " (did you mean han?)"


@pytest.mark.parametrize(
    "name, value, found",
    [
        ("epochs", 3.0, "3"),
        ("epochs", 1e3, "1000"),
        ("lam", 50, "50.0"),
        ("tau", 0, "0.0"),
        ("tau", 1, "1.0"),
        ("dropout", 0, "0.0"),
        ("strict", False, "false"),
        ("prune", "none", "none"),
    ],
)
def test_whole_floats_become_ints_and_ints_become_floats(name, value, found):
    settings, _ = resolve_settings(find_recipe("psp-full"), "quick", {name: value})
    assert as_word(settings[name]) == found


def test_the_bound_on_a_divergence_is_a_word():
    words = ("none", "log C", "10nats", "2.5")
    assert [read_kl_cap(text) for text in words] == [None, "log C", 10.0, 2.5]
    for text in ("much", "0", "inf", "log c", ""):
        with pytest.raises(ValueError):
            read_kl_cap(text)


# ------------------------------------------------------------------------ what was ever run or said
@pytest.mark.parametrize("folder, least", [("records", 400), ("records_random", 600)])
def test_every_record_resolves_to_its_own_settings(folder, least):
    paths = sorted((ROOT / "nbs" / folder).glob("*/*/seed-*.json"))
    assert len(paths) > least
    for path in paths:
        record = json.loads(path.read_text(encoding="utf-8"))
        found = find_recipe(record["recipe"])
        settings, changed = resolve_settings(found, record["preset"], record["options"])
        # as text: the same keys in the same order, and 1.0 is not 1
        assert json.dumps(settings) == json.dumps(record["settings"]), path
        assert json.dumps(changed) == json.dumps(record["options"]), path


@pytest.mark.parametrize("preset", ["paper", "quick"])
def test_every_cell_and_claim_of_the_papers_resolves(preset):
    asked = [(c.recipe, c.options) for table in TABLES.values() for c in table.cells if c.recipe]
    asked += [side for claim in ORDERING_CLAIMS for side in (claim.better, claim.worse)]
    assert len(asked) > 500
    for name, options in asked:
        if name in RECIPES:
            settings, _ = resolve_settings(find_recipe(name), preset, options)
            assert settings | options == settings


# ------------------------------------------------------------------------------- the recipes' own
@pytest.mark.parametrize("name", RECIPES)
def test_every_option_has_a_meaning_of_one_line(name):
    for found in find_recipe(name).options.values():
        assert 3 < len(found.meaning) < 90 and found.meaning.isprintable(), found.name
        assert not found.meaning.endswith("."), found.name
        assert len(found.range) < 50, found.name


DIMS = {
    "ave": {"categories": 3, "audio_dim": 4, "visual_dim": 5, "positions": 6},
    "llp": {"categories": 3, "audio_dim": 4, "visual_2d_dim": 5, "visual_3d_dim": 6},
}


@pytest.mark.parametrize(
    "name",
    ["psp-full", "psp-weak", "avel-full", "avel-weak", "cmran-full", "cmran-weak", "han", "ma"],
)
def test_the_networks_take_every_choice_and_no_other(name):
    """`refine`, `errors` belong to a stage and `precision` to the loop; the pair-similarity loss of
    `avel-full` takes no single modality."""
    found = find_recipe(name)
    dims, quick = DIMS[found.task], found.preset("quick")
    if name == "avel-full":
        quick["lam"] = 0.0
    for one in found.options.values():
        for choice in one.choices:
            found.build({**quick, one.name: choice}, dims)
        if one.choices and one.name not in ("refine", "errors", "precision"):
            with pytest.raises(AvbookError, match="nonsense"):
                found.build({**quick, one.name: "nonsense"}, dims)


def test_the_parts_of_cmlcl_take_every_choice_and_no_other():
    from avbook.unsupervised.clustering import group
    from avbook.unsupervised.em import LocaliseMethod
    from avbook.unsupervised.localiser import relevance
    from avbook.unsupervised.neighbours import contrastive_sets
    from avbook.unsupervised.pretraining import PretextMethod
    from avbook.unsupervised.representation import AVBackbone

    x, quick = torch.eye(4)[:, :3], find_recipe("cmlcl").preset("quick")

    def backbone(**changes):
        options = pick(quick | changes, Backbone)
        AVBackbone(5, 4, options.pop("width"), **options)

    takers = {
        "modality": backbone,
        "views": lambda views: PretextMethod(4, 8, **pick(quick | {"views": views}, Pretext)),
        "positives": lambda positives: PretextMethod(4, 8, positives=positives),
        "form": lambda form: PretextMethod(4, 8, form=form),
        "bank": lambda bank: PretextMethod(4, 8, bank=bank),
        "search": lambda search: contrastive_sets(x, 1, method=search),
        "gamma": lambda gamma: relevance(x, gamma),
        "strangers": lambda strangers: LocaliseMethod(strangers),
        "method": lambda method: group(x, 2, method, k=2),
    }
    choices = {**find_recipe("cluster").options, **find_recipe("cmlcl").options}
    for name, take in takers.items():
        for choice in choices[name].choices:
            if choice != "approximate":  # it needs FAISS
                take(**{name: choice})
        with pytest.raises(AvbookError, match="nonsense"):
            take(**{name: "nonsense"})
    with_choices = {name for name, found in choices.items() if found.choices}
    assert with_choices - set(takers) == {"features", "naming", "precision"}


def test_the_refinement_takes_every_kind_of_error_and_no_other():
    from avbook.parsing.refinement import category_errors

    probabilities, labels = np.array([[0.9, 0.1], [0.2, 0.8]]), np.eye(2)
    for choice in find_recipe("ma").options["errors"].choices:
        assert category_errors(probabilities, labels, choice).shape == (2,)
    with pytest.raises(AvbookError, match="nonsense"):
        category_errors(probabilities, labels, "nonsense")
