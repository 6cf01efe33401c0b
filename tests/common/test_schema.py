"""JSON files are read through a schema: whatever stands there, one line says what is wrong."""

import json
import os

import pytest
from pydantic import Field

from avbook.common.schema import Schema, is_json, parse_json, read_json
from avbook.errors import AvbookError


class Inner(Schema):
    values: list[float]


class Thing(Schema):
    count: int = Field(ge=1)
    inner: Inner


GOOD = {"count": 2, "inner": {"values": [1, 2.5], "more": None}, "unknown": [True]}


def test_what_fits_comes_back_as_it_stands_with_unknown_fields():
    assert parse_json(json.dumps(GOOD), Thing, "f", "a thing", "do") == GOOD
    with_mark = b"\xef\xbb\xbf" + json.dumps(GOOD).encode()
    assert parse_json(with_mark, Thing, "f", "a thing", "do") == GOOD


@pytest.mark.parametrize(
    "data, words",
    [
        ({**GOOD, "count": True}, "count is True"),
        ({**GOOD, "count": 2.0}, "count is 2.0"),
        ({**GOOD, "count": "2"}, "count is '2'"),
        ({**GOOD, "count": 0}, "greater than or equal to 1"),
        ({**GOOD, "inner": {"values": [1, None]}}, "inner.values.1 is None"),
        ({"count": 2}, "it lacks inner"),
        ([GOOD], "it holds no object"),
        (b'{"count": 1, "inner": {"values": [NaN]}}', "NaN is no number of JSON"),
        (b'{"count": 1, "inner": {"values": []}, "other": -Infinity}', "-Infinity is no number"),
        (b'{"count": 1, "inner": {"values": [1e999]}}', "1e999 is larger than any float"),
        (b'{"count": ' + b"9" * 5000 + b"}", "5000 digits"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"count": 1, "inner": ' + b"[" * 300 + b"]" * 300 + b"}", "recursion limit"),
        (b'{"count": \xff}', "can't decode byte 0xff"),
        (b'{"count": 1, "\\ud800": 1, "inner": {"values": []}}', "no JSON|Invalid JSON"),
        (b"", "no JSON"),
    ],
)
def test_what_does_not_fit_is_one_line(data, words):
    text = data if isinstance(data, bytes) else json.dumps(data)
    with pytest.raises(AvbookError, match=words) as caught:
        parse_json(text, Thing, "f.json", "a thing", "make it again")
    message = str(caught.value)
    assert message.startswith("f.json: not a thing (") and message.endswith("; make it again")
    assert "\n" not in message and len(message) < 300


def test_a_file_that_is_none_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    for path, words in (
        (tmp_path / "pipe", "is a pipe"),
        ("/dev/zero", "is a device"),
        (tmp_path, "is a folder"),
        (tmp_path / "none", "no such file"),
        (tmp_path / "link", "a link to nowhere, which does not exist"),
        (tmp_path / "a\0b", "cannot be accessed"),
        (tmp_path / ("long" * 100), "cannot be accessed"),
    ):
        with pytest.raises(AvbookError, match=words):
            read_json(path, Thing, "a thing", "do")


def test_what_json_can_hold():
    assert is_json(GOOD)
    nested: list = []
    nested.append(nested)
    for value in (float("nan"), [float("inf")], {1, 2}, {(1,): 2}, nested):
        assert not is_json(value)
