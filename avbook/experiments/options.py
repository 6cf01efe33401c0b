"""Options of recipes: fields of dataclasses with a type, a range and a meaning."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import math
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from avbook.errors import AvbookError

__all__ = [
    "option",
    "Option",
    "options_of",
    "hint",
    "as_word",
    "shorten",
    "WIDEST",
    "Threads",
    "Schedule",
    "MilestoneSchedule",
    "read_milestones",
]

WIDEST = 65_536  # largest width of a layer; a layer from such a width to itself has 16 GiB


# --------------------------------------------------------------------------------------- declaring
def option(
    default: bool | int | float | str,  # the value of the preset "paper"
    meaning: str,  # one plain line, with the paper's symbol if there is one
    *,
    least: float | None = None,  # the smallest value
    above: float | None = None,  # or: values are larger than this
    most: float | None = None,  # the largest value
    below: float | None = None,  # or: values are smaller than this
    choices: tuple = (),  # the allowed values
    parse: Callable[[str], Any] | None = None,  # reads a string; raises ValueError if it cannot
    form: str = "",  # with `parse`: the form of the string
) -> Any:
    """A field of a recipe's settings. Its type is its annotation: bool, int, float or str.

    A subclass may change the default only, as in `epochs: int = 40`: meaning and range stay."""
    about: dict[str, Any] = {
        "meaning": meaning,
        "least": least,
        "above": above,
        "most": most,
        "below": below,
        "choices": choices,
        "parse": parse,
        "form": form,
    }
    return dataclasses.field(default=default, metadata=about)


@dataclass(frozen=True)
class Option:
    """One option of a recipe: name, type, default, meaning, and allowed values."""

    name: str
    kind: type  # bool, int, float or str
    default: bool | int | float | str
    meaning: str
    least: float | None
    above: float | None
    most: float | None
    below: float | None
    choices: tuple
    parse: Callable[[str], Any] | None
    form: str

    def check(
        self,
        value: Any,  # as given by the user
        owner: str,  # owner of the option, for messages
    ) -> bool | int | float | str:
        """The value converted to the option's type: whole floats become ints, ints become floats.

        Raises `AvbookError` for another type, a number that is not finite or out of range, and a
        string that is not one of the choices."""
        found = self._as_kind(value)
        if found is None or not self._allows(found):
            near = hint(value[:100], self.choices) if isinstance(value, str) else ""
            raise AvbookError(
                f"{owner}: option {self.name}={_shown(value)}{near}: expected {self.expected}"
            )
        return found

    def _as_kind(self, value: Any) -> Any:
        """The value converted to the option's type, or None if it has another type."""
        if self.kind in (bool, str):
            return value if isinstance(value, self.kind) else None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        try:
            number = float(value)
        except OverflowError:  # an int larger than any float
            return None
        if not math.isfinite(number):
            return None
        if self.kind is float:
            return number
        return int(value) if number.is_integer() else None

    def _allows(self, value: Any) -> bool:
        """Whether a value of the right type is in the range."""
        if self.choices:
            return value in self.choices
        if self.parse is not None:
            try:
                self.parse(value)
            except ValueError:
                return False
        return not (
            (self.least is not None and value < self.least)
            or (self.above is not None and value <= self.above)
            or (self.most is not None and value > self.most)
            or (self.below is not None and value >= self.below)
        )

    @property
    def expected(self) -> str:
        """The allowed values in words: "a number, at least 0 and below 1"."""
        if self.choices:
            return _either(self.choices)
        if self.form:
            return self.form
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
        limits = {
            "at least": self.least,
            "above": self.above,
            "at most": self.most,
            "below": self.below,
        }
        bounds = [f"{word} {limit:g}" for word, limit in limits.items() if limit is not None]
        text = words[self.kind]
        if self.kind is float and self.most is None and self.below is None:
            text = "a finite number"
        return f"{text}, {' and '.join(bounds)}" if bounds else text

    @property
    def range(self) -> str:
        """The allowed values in short: "0 ≤ float < 1"."""
        if self.choices:
            return ", ".join(map(as_word, self.choices))
        if self.form:
            return self.form
        signs = {"≥": self.least, ">": self.above, "≤": self.most, "<": self.below}
        bounds = [(sign, f"{limit:g}") for sign, limit in signs.items() if limit is not None]
        kind = self.kind.__name__
        if len(bounds) == 2:
            (lower, low), (upper, high) = bounds
            return f"{low} {'≤' if lower == '≥' else '<'} {kind} {upper} {high}"
        return " ".join([kind, *(part for bound in bounds for part in bound)])


def options_of(
    settings: type,  # a dataclass whose fields are made by `option`
) -> dict[str, Option]:
    """The options of a recipe's settings by name, those of the base classes first, from left to
    right.

    Raises `AvbookError` if a field has another type, no meaning, or a default out of its range."""
    if not (isinstance(settings, type) and dataclasses.is_dataclass(settings)):
        raise AvbookError(
            f"settings {settings!r}: expected a dataclass, each field declared as"
            " `name: type = option(default, meaning)`"
        )
    return dict(_read_options(settings))


@functools.cache
def _read_options(settings: type) -> dict[str, Option]:
    kinds = typing.get_type_hints(settings)
    defaults: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(settings)}
    found = {}
    for name in _names(settings):
        if kinds[name] not in (bool, int, float, str):
            raise AvbookError(
                f"{settings.__name__}.{name}: {kinds[name]!r}: expected bool, int, float or str"
            )
        about = Option(name, kinds[name], defaults[name], **_declared(settings, name))
        default = about.check(about.default, settings.__name__)
        found[name] = dataclasses.replace(about, default=default)
    return found


def _names(settings: type) -> dict[str, None]:
    """The names of the fields in reading order; dataclasses themselves put the last base first."""
    names: dict[str, None] = {}
    for base in filter(dataclasses.is_dataclass, settings.__bases__):
        names |= _names(base)
    return names | dict.fromkeys(field.name for field in dataclasses.fields(settings))


def _declared(settings: type, name: str) -> Any:
    """Meaning and range of an option, from the nearest class that declares them."""
    for base in settings.__mro__:
        field = base.__dict__.get("__dataclass_fields__", {}).get(name)
        if field is not None and "meaning" in field.metadata:
            return field.metadata
    raise AvbookError(
        f"{settings.__name__}.{name}: expected a field declared as"
        f" `{name}: type = option(default, meaning)`"
    )


# ------------------------------------------------------------------------------------------- words
def hint(
    name: str,  # the name given
    known: Iterable,  # the known names
) -> str:
    """ " (did you mean …?)" with the nearest known name; empty if none is near."""
    near = difflib.get_close_matches(name, map(str, known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _either(
    values: tuple,
) -> str:
    """The values as a choice: "code, positives or none"."""
    *most, last = map(as_word, values)
    return f"{', '.join(most)} or {last}" if most else last


def as_word(
    value: bool | int | float | str,
) -> str:
    """A value in the form of `--set`: `true`, `0.1`, `psp`."""
    return value if isinstance(value, str) else json.dumps(value)


def shorten(
    text: str,
    most: int = 60,  # characters
) -> str:
    """The text, or its beginning and its length if it is too long for a message."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def _shown(value: Any) -> str:
    """A value in the form used in messages."""
    try:
        return shorten(repr(value))
    except ValueError:  # an integer with more digits than Python writes
        return "a number of thousands of digits"


# -------------------------------------------------------------------------------- shared by recipes
@dataclass(frozen=True)
class Threads:
    """The option that every recipe has."""

    threads: int = option(
        0, "CPU threads, which decide the order of sums; 0: PyTorch's choice", least=0, most=1024
    )


@dataclass(frozen=True)
class _Fit:
    epochs: int = option(300, "passes over the training split", least=1)
    batch_size: int = option(128, "clips in a step", least=1)
    lr: float = option(1e-3, "learning rate of Adam in the first epoch", above=0, most=10)


@dataclass(frozen=True)
class _Steps:
    decay_every: int = option(60, "epochs between decays of the learning rate", least=1)
    decay: float = option(0.8, "factor of a decay", above=0, most=1)
    decay_until: int = option(170, "no decay after this epoch", least=0)


def read_milestones(
    text: str,  # such as "10,20,30"; "none": no decay
) -> tuple[int, ...]:
    """The epochs after which the learning rate decays; raises `ValueError` unless they increase,
    starting from 1 or more."""
    epochs = () if text == "none" else tuple(int(part) for part in text.split(","))
    if any(later <= earlier for earlier, later in zip((0, *epochs), epochs)):
        raise ValueError(text)
    return epochs


@dataclass(frozen=True)
class _Milestones:
    decay_at: str = option(
        "10,20,30",
        "the learning rate decays after each of these epochs",
        parse=read_milestones,
        form="rising epochs such as 10,20,30, or none",
    )
    decay: float = option(0.5, "factor of a decay", above=0, most=1)
    clip: float = option(0.0, "largest norm of the gradient; 0: not clipped", least=0, most=1e6)


@dataclass(frozen=True)
class _Rest:
    weight_decay: float = option(0.0, "weight decay of Adam", least=0, most=10)
    precision: str = option(
        "no", "floats of the forward pass: no is float32", choices=("no", "bf16", "fp16")
    )


@dataclass(frozen=True)
class Schedule(_Fit, _Steps, _Rest, Threads):
    """The options that `Job.fit` reads, with PSP's released values."""


@dataclass(frozen=True)
class MilestoneSchedule(_Fit, _Milestones, _Rest, Threads):
    """The same, with a learning rate that decays after given epochs and gradient clipping."""
