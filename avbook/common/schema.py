"""JSON files read through a schema: another type, a missing key or a broken byte is one line."""

from __future__ import annotations

import json
import math
import os
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from avbook.common.files import read_bytes
from avbook.errors import AvbookError

__all__ = ["Schema", "read_json", "parse_json", "is_json"]

LARGEST = 256 * 2**20  # bytes of a JSON file
SHOWN = 60  # characters of a value that a message repeats


class Schema(BaseModel):
    """What a JSON object must hold: fields of exactly these types, numbers that are finite, words
    of at most 4,096 characters; others may stand beside them."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, str_max_length=4096)


def read_json(
    path: str | os.PathLike,
    schema: type[Schema],  # what the file must hold
    what: str,  # that it is, such as "a run record"
    advice: str,  # what to do where it is none
) -> dict[str, Any]:
    """The object in the file as it stands there, fields that the schema does not know included.

    Raises `AvbookError` for what is no regular file, no JSON in UTF-8, nested too deeply, with a
    number that is not finite, and for a field that is missing or of another type."""
    return parse_json(read_bytes(path, LARGEST), schema, str(path), what, advice)


def parse_json(
    data: bytes | str,
    schema: type[Schema],
    where: str,  # what the message begins with, such as the file
    what: str,
    advice: str,
) -> dict[str, Any]:
    """The same of text that was read already, such as a line of a file."""
    if isinstance(data, bytes):
        data = data.removeprefix(b"\xef\xbb\xbf")  # as some editors begin a file
    try:
        found = json.loads(data, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        told = "nested too deeply" if isinstance(error, RecursionError) else error
        raise AvbookError(f"{where}: not {what} (no JSON: {told}); {advice}") from None
    if not isinstance(found, dict):
        raise AvbookError(f"{where}: not {what} (it holds no object); {advice}")
    try:
        schema.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        told = " ".join(first["msg"].split())
        field = ".".join(map(str, first["loc"]))
        if first["type"] == "missing":
            fault = f"it lacks {field}"
        elif first["type"] == "json_invalid":
            fault = told
        else:
            fault = f"{field} is {repr(first['input'])[:SHOWN]}: {told}"
        raise AvbookError(f"{where}: not {what} ({fault}); {advice}") from None
    return found


def is_json(
    value: Any,
) -> bool:
    """Whether JSON can hold the value, with every number in it finite."""
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:SHOWN]} is larger than any float")
    return number
