"""Recipes: a named network with its losses, its schedule and every option of a paper's table.

A recipe's settings come from a preset ("paper": the released sizes and schedule; "quick": small
sizes that finish within about a minute on two cores), changed by the user's options. Records store
both."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from avbook.errors import AvbookError
from avbook.experiments.datasets import open_data
from avbook.experiments.job import Job
from avbook.experiments.options import Option, as_word, hint, options_of, shorten

__all__ = ["Recipe", "resolve_settings", "parse_options", "pick"]


@dataclass(frozen=True)
class Recipe:
    """How a named method is built and trained: its settings under each preset and the function that
    builds it.

    Raises `AvbookError` if the settings are not a dataclass of options, if a default is out of its
    range, or if the preset "quick" has an unknown name or an invalid value."""

    name: str
    task: str  # "ave" or "llp"
    about: str
    settings: type  # a dataclass of options; its defaults are the preset "paper"
    quick: dict[str, Any]  # changes of the preset "quick"
    # (settings, dims of the data) -> (network, method); None: `train` needs neither
    build: Callable[[dict, dict], tuple] | None = None
    open: dict[str, Any] = field(default_factory=dict)  # options of the data set's loader
    # (job) -> (Result, more for the record); None: build and fit, in one stage
    train: Callable[[Job], tuple] | None = None

    def __post_init__(self):
        options_of(self.settings)
        object.__setattr__(self, "quick", self.check(self.quick))

    @property
    def options(self) -> dict[str, Option]:
        """All options by name, in the order of a record."""
        return options_of(self.settings)

    def check(
        self,
        values: dict[str, Any],  # by name, as given by the user
    ) -> dict[str, Any]:
        """The values converted to their options' types; raises `AvbookError` for an unknown name,
        and for a value of another type, out of range or not among the choices."""
        options, checked = self.options, {}
        for name, value in values.items():
            if name not in options:
                raise AvbookError(
                    f"{self.name} has no option {name!r}{hint(name, options)}: it has"
                    f" {', '.join(sorted(options))}"
                )
            checked[name] = options[name].check(value, self.name)
        return checked

    def preset(self, name: str) -> dict[str, Any]:
        """The settings of a preset, "paper" or "quick"."""
        if name not in ("paper", "quick"):
            raise AvbookError(
                f"preset {name!r} of {self.name} is not known: expected paper or quick"
            )
        values = {option.name: option.default for option in self.options.values()}
        return values | self.quick if name == "quick" else values

    def open_data(
        self,
        where,  # "world", "world:SIZE:SEED", … or a folder's path
    ):
        """The data set at `where`, opened as this recipe needs it."""
        return open_data(where, self.task, **self.open)


# ------------------------------------------------------------------------------------------ options
def parse_options(
    pairs: list[str],  # each "name=value", as for `--set`
    epochs: int | None = None,  # value of `--epochs`; None: not given
) -> dict[str, Any]:
    """Names and values; a value is read as JSON if possible (`0.1`, `true`, `null`), else as a
    string.

    Raises `AvbookError` for a repeated name and for a number that no float can hold."""
    out: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name or not text:
            raise AvbookError(
                f"--set {shorten(pair)!r}: expected name=value, for example --set tau=0.1"
            )
        if name in out:
            raise AvbookError(f"--set {name}=… is given twice; expected it once")
        out[name] = _read_value(name, text)
    if epochs is not None:
        if "epochs" in out:
            raise AvbookError(
                f"--epochs {epochs} and --set epochs={as_word(out['epochs'])} name the same option;"
                " give one of them"
            )
        out["epochs"] = epochs
    return out


def _read_value(name: str, text: str) -> Any:
    def refuse(found: str) -> Any:
        raise AvbookError(f"--set {name}={shorten(found)}: expected a finite number")

    def real(found: str) -> float:
        return float(found) if math.isfinite(float(found)) else refuse(found)

    def whole(found: str) -> int:
        return int(found) if len(found) < 400 else refuse(found)

    try:
        return json.loads(text, parse_constant=refuse, parse_float=real, parse_int=whole)
    except AvbookError:
        raise
    except RecursionError:
        raise AvbookError(f"--set {name}={shorten(text)}: nested too deeply") from None
    except ValueError:  # not JSON: a string
        return text


def resolve_settings(
    recipe: Recipe,
    preset: str,  # "paper" or "quick"
    options: dict[str, Any],  # the user's changes
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All settings of a run, and the options that actually differ from the preset.

    Raises `AvbookError` for an unknown preset or name, and for a value of another type, out of
    range or not among the choices."""
    base = recipe.preset(preset)
    checked = recipe.check(options)
    changed = {name: checked[name] for name in sorted(checked) if checked[name] != base[name]}
    return base | changed, changed


def pick(
    settings: dict[str, Any],
    *groups: type | Iterable[str],  # each a dataclass of options, or names
) -> dict[str, Any]:
    """The settings with these names."""
    names: list[str] = []
    for group in groups:
        names += options_of(group) if isinstance(group, type) else group
    return {name: settings[name] for name in names}
