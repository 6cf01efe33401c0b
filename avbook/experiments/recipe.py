"""What a recipe is: a name for a network, its losses and its schedule, with every option a table
varies.

A recipe's settings come from a preset ("paper": the released sizes and schedule; "quick": small
sizes that end within about a minute on two cores), changed by the options a user names. Records say
both."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, field
from typing import Any, Callable

from avbook.errors import AvbookError
from avbook.experiments.datasets import open_data
from avbook.experiments.job import Job

__all__ = ["Recipe", "resolve_settings", "parse_options", "pick"]


@dataclass(frozen=True)
class Recipe:
    """How a named method is built and trained: its settings under each preset and the function that
    builds it."""

    name: str
    task: str  # "ave" or "llp"
    about: str
    settings: dict[str, Any]  # every option with the value of the preset "paper"
    quick: dict[str, Any]  # what the preset "quick" changes
    build: Callable[[dict, dict], tuple] | None = (
        None  # (settings, dims of the data) -> (network, method); None: `train` needs neither
    )
    open: dict[str, Any] = field(default_factory=dict)  # options of the data set's loader
    train: Callable[[Job], tuple] | None = (
        None  # (job) -> (Result, more for the record); None: build and fit, in one stage
    )

    def preset(self, name: str) -> dict[str, Any]:
        """The settings of a preset, "paper" or "quick"."""
        if name == "paper":
            return dict(self.settings)
        if name == "quick":
            return {**self.settings, **self.quick}
        raise AvbookError(f"preset {name!r} of {self.name} is not known: expected paper or quick")

    def open_data(self, where: str):
        """The data set at `where`, opened as this recipe needs it."""
        return open_data(where, self.task, **self.open)


# ------------------------------------------------------------------------------------------ options
def parse_options(
    pairs: list[str],  # each "name=value", as `--set` takes them
) -> dict[str, Any]:
    """Names and values, each value read as JSON where it is JSON (`0.1`, `true`, `null`), as a word
    otherwise."""
    out: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name or not text:
            raise AvbookError(f"--set {pair!r}: expected name=value, for example --set tau=0.1")
        try:
            out[name] = json.loads(text)
        except json.JSONDecodeError:
            out[name] = text
    return out


def resolve_settings(
    recipe: Recipe,
    preset: str,  # "paper" or "quick"
    options: dict[str, Any],  # what the user changes
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All settings of a run, and the options that really differ from the preset.

    Raises `AvbookError` for a name the recipe does not have and for a value of another kind than
    the preset's."""
    base = recipe.preset(preset)
    changed = {}
    for name, value in options.items():
        if name not in base:
            near = difflib.get_close_matches(name, base, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise AvbookError(
                f"{recipe.name} has no option {name!r}{hint}: it has {', '.join(sorted(base))}"
            )
        changed_value = _same_kind(recipe, name, value, base[name])
        if changed_value != base[name]:
            changed[name] = changed_value
    return {**base, **changed}, dict(sorted(changed.items()))


def _same_kind(recipe: Recipe, name: str, value: Any, model: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(model, bool):
        fits = isinstance(value, bool)
    elif isinstance(model, int):
        fits = number and float(value).is_integer()
        value = int(value) if fits else value
    elif isinstance(model, float):
        fits = number
        value = float(value) if fits else value
    else:
        fits = isinstance(value, str)
    if not fits:
        raise AvbookError(
            f"{recipe.name}: option {name}={value!r} should be of the kind of its preset's value,"
            f" {model!r}"
        )
    if name in ("epochs", "batch_size", "decay_every") and value < 1:
        raise AvbookError(f"{recipe.name}: option {name}={value} should be at least 1")
    return value


def pick(
    settings: dict[str, Any],
    *groups: Any,  # each a collection of names
) -> dict[str, Any]:
    """The settings of those names."""
    return {name: settings[name] for group in groups for name in group}
