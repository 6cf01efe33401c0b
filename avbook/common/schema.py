"""JSON files checked against a schema; any fault gives a one-line error."""

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
SHOWN = 60  # characters of a value shown in a message


class Schema(BaseModel):
    """The required content of a JSON object: fields of exactly these types, finite numbers, strings
    of at most 4,096 characters. Further fields are allowed."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, str_max_length=4096)


def read_json(
    path: str | os.PathLike,
    schema: type[Schema],  # required content
    what: str,  # kind of file, such as "a run record"
    advice: str,  # what to do if the file is not of this kind
) -> dict[str, Any]:
    """The object in the file, unchanged, with fields that the schema does not know.

    Raises `AvbookError` if the file is not a regular file, not JSON in UTF-8, too deeply nested,
    holds a number that is not finite, or lacks a field or has one of another type."""
    return parse_json(read_bytes(path, LARGEST), schema, str(path), what, advice)


def parse_json(
    data: bytes | str,
    schema: type[Schema],
    where: str,  # start of the message, such as the file
    what: str,
    advice: str,
) -> dict[str, Any]:
    """Does the same for text that was already read, such as a line of a file."""
    if isinstance(data, bytes):
        data = data.removeprefix(b"\xef\xbb\xbf")  # byte order mark of some editors
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
    """Whether JSON can hold the value, all numbers in it being finite."""
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
