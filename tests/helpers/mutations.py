"""What may be wrong with a file, at random: its bytes, what stands in its place, its lines, its
JSON. Arrays are in `mutated_arrays`."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

DIGITS = "9" * 5000
DEEP = 100_000
RAW = "@raw:{}@"  # stands in JSON for a word that no Python value is written as

# a mutation changes the file at a path and says in words what it did
Mutation = Callable[[Path, random.Random], str]


def mutate_folder(
    folder: Path,
    files: list[str],  # that may be changed, as patterns
    rng: random.Random,
) -> str:
    """What was done to one file of the folder, or to two."""
    found = sorted({path for pattern in files for path in folder.glob(pattern)})
    times = 2 if rng.random() < 0.1 else 1
    said = []
    for path in rng.sample(found, min(times, len(found))):
        said.append(f"{path.relative_to(folder)}: {mutate(path, rng)}")
    return "; ".join(said)


def mutate(path: Path, rng: random.Random) -> str:
    """What was done to the file: mostly of its own format, else its bytes or its place."""
    from mutated_arrays import ARRAYS

    formats = {
        ".json": [mutate_json],
        ".jsonl": [mutate_jsonl, mutate_lines],
        ".txt": [mutate_lines],
        ".csv": [mutate_lines],
        **ARRAYS,
    }
    kinds = formats.get(path.suffix, [])
    draw = rng.random()
    if kinds and draw < 0.65 and path.is_file():
        return rng.choice(kinds)(path, rng)
    if draw < 0.88 and path.is_file():
        return mutate_bytes(path, rng)
    return mutate_place(path, rng)


# -------------------------------------------------------------------------------------------- bytes
def mutate_bytes(path: Path, rng: random.Random) -> str:
    """Bytes changed, taken out or put in."""
    data = bytearray(path.read_bytes())
    at = (
        rng.randrange(len(data) + 1)
        if rng.random() < 0.5
        else rng.randrange(min(len(data), 200) + 1)
    )
    kind = rng.choice(["flip", "cut", "insert", "zero", "noise", "double", "empty", "grow", "swap"])
    some = rng.randbytes(rng.choice([1, 2, 8, 64, 1000]))
    if kind == "flip":
        for _ in range(rng.choice([1, 3, 30])):
            if data:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "insert":
        data[at:at] = some
    elif kind == "zero":
        data[at : at + len(some)] = bytes(len(data[at : at + len(some)]))
    elif kind == "noise":
        data[at : at + len(some)] = some[: len(data) - at]
    elif kind == "double":
        data[at:at] = data[at : at + 1000]
    elif kind == "empty":
        data.clear()
    elif kind == "grow":
        data += some
    else:
        data[:] = data[at:] + data[:at]
    path.write_bytes(data)
    return f"bytes, {kind} at {at}"


# -------------------------------------------------------------------------------------------- place
def mutate_place(path: Path, rng: random.Random) -> str:
    """Something else in the file's place."""
    kind = rng.choice([*PLACES, "pipe", "pipe", "endless", "folder"])
    if not path.parent.is_dir():  # another mutation took its folder
        return "place, gone"
    if path.is_symlink() or path.is_file():
        kept = path.read_bytes() if path.is_file() else b""
        path.unlink()
    else:
        kept = b""
        shutil.rmtree(path, ignore_errors=True)
    PLACES[kind](path, kept)
    return f"place, {kind}"


def _socket(path: Path, kept: bytes) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's name is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _sparse(path: Path, kept: bytes) -> None:
    path.write_bytes(kept)
    os.truncate(path, 2**41)


def _linked(path: Path, kept: bytes) -> None:
    """The file itself, behind a link: no fault."""
    beside = path.with_name(path.name + ".moved")
    beside.write_bytes(kept)
    path.symlink_to(beside.name)


PLACES: dict[str, Callable[[Path, bytes], object]] = {
    "nothing": lambda path, kept: None,
    "pipe": lambda path, kept: os.mkfifo(path),
    "endless": lambda path, kept: path.symlink_to("/dev/zero"),
    "void": lambda path, kept: path.symlink_to("/dev/null"),
    "folder": lambda path, kept: path.mkdir(),
    "full folder": lambda path, kept: (path.mkdir(), (path / "a").write_bytes(kept)),
    "socket": _socket,
    "dangling link": lambda path, kept: path.symlink_to("nowhere"),
    "looping link": lambda path, kept: path.symlink_to(path.name),
    "link": _linked,
    "web page": lambda path, kept: path.write_text("<html>quota exceeded</html>"),
    "two terabytes": _sparse,
    "kernel's file": lambda path, kept: path.symlink_to("/proc/self/status"),
}


# -------------------------------------------------------------------------------------------- lines
WORDS = [
    "", " ", "x", "-1", "0", "10", "11", "3.5", "9.0", "1e3", "nan", "inf", "-inf", "+3", "٣",
    "0x1", "1_0", DIGITS, "-" + DIGITS, "x" * 100_000, '"Dog"', "Dog,Dog", "Gong", "\x00",
    "\ufeff", "é", "../../etc/passwd", "/etc/passwd", "a" * 11, "&", "\t", ",", "%s",
    "{}", "None", "true",
]  # fmt: skip


def mutate_lines(path: Path, rng: random.Random) -> str:
    """A line or a field changed."""
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    separator = next((mark for mark in ("\t", "&", ",") if mark in lines[at]), "\t")
    fields = lines[at].split(separator)
    field = rng.randrange(len(fields))
    word = rng.choice(WORDS)
    kind = rng.choice(
        ["field", "field", "field", "add", "lose", "again", "gone", "shuffle", "quote", "crlf",
         "bom", "utf-16", "latin-1", "half", "many", "blank", "separator", "one line"]
    )  # fmt: skip
    if kind == "field":
        fields[field] = word
    elif kind == "add":
        fields.insert(field, word)
    elif kind == "lose":
        del fields[field]
    lines[at] = separator.join(fields)
    if kind == "again":
        lines.insert(rng.randrange(len(lines)), lines[at])
    elif kind == "gone":
        del lines[at]
    elif kind == "shuffle":
        rng.shuffle(lines)
    elif kind == "quote":
        lines[at] = separator.join(f'"{one}"' for one in fields)
    elif kind == "many":
        lines *= 50
    elif kind == "blank":
        lines = [""] * len(lines)
    elif kind == "half":
        lines = lines[: at + 1]
    elif kind == "separator":
        lines = [line.replace(separator, ";") for line in lines]
    end = {"crlf": "\r\n", "one line": "\r"}.get(kind, "\n")
    data = end.join(lines).encode("utf-8", "surrogateescape")
    if kind == "bom":
        data = b"\xef\xbb\xbf" + data
    elif kind in ("utf-16", "latin-1"):
        data = data.decode("utf-8", "replace").encode(kind, "replace")
    path.write_bytes(data)
    return f"line {at + 1}, {kind} {word[:20]!r}" if kind in ("field", "add") else f"lines, {kind}"


# --------------------------------------------------------------------------------------------- JSON
ODD: list = [
    None, True, False, 0, 1, -1, 0.5, 1.5, -0.0, 10**10, -(10**10), 10**40, 1e308, 1e-320,
    RAW.format("NaN"), RAW.format("Infinity"), RAW.format("-Infinity"), RAW.format("1e999"),
    RAW.format(DIGITS), RAW.format("0." + DIGITS), "", "x", "nan", "1", "../up", "/etc/passwd",
    "a\x00b", "\ud800", "x" * 100_000, [], {}, [[]], [None], {"a": 1}, {"": {}}, [1, "x", None],
    RAW.format("[" * DEEP + "]" * DEEP), RAW.format('{"a":' * DEEP + "1" + "}" * DEEP),
    RAW.format("[" * DEEP), [0] * 3, ["x"] * 3,
]  # fmt: skip


def odd_json(value, rng: random.Random):
    """(the same JSON with one thing wrong, what that is)."""
    value = json.loads(json.dumps(value))
    holder, key, trail = None, None, []
    node = value
    while isinstance(node, (dict, list)) and node and (holder is None or rng.random() < 0.75):
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        holder, node = node, node[key]
        trail.append(str(key))
    where = ".".join(trail) or "all of it"
    kind = rng.choice(["value", "value", "value", "value", "gone", "more", "wrap", "word", "sign"])
    if holder is None or rng.random() < 0.03:
        odd = rng.choice(ODD)
        return odd, f"all of it is {str(odd)[:20]!r}"
    if kind == "gone":
        del holder[key]
        return value, f"{where} gone"
    if kind == "more":
        if isinstance(holder, dict):
            holder[rng.choice(["extra", "", "__class__", key + " "])] = rng.choice(ODD)
        else:
            holder.insert(key, rng.choice([node, rng.choice(ODD)]))
        return value, f"one more beside {where}"
    odd = rng.choice(ODD)
    if kind == "wrap":
        odd = rng.choice([[node], {"value": node}, [node, node]])
    elif kind == "word":
        odd = str(node)
    elif kind == "sign" and isinstance(node, (int, float)):
        odd = rng.choice([-node, node + 1, node * 1000, float(node)])
    holder[key] = odd
    return value, f"{where} is {str(odd)[:20]!r}"


def json_text(value, **options) -> str:
    """JSON with the words that `RAW` marks."""
    text = json.dumps(value, **options)
    for word in ODD:
        if isinstance(word, str) and word.startswith("@raw:"):
            text = text.replace(json.dumps(word), word[5:-1])
    return text


def mutate_json(path: Path, rng: random.Random) -> str:
    """One value of another type, out of range, gone or too many."""
    try:
        value, said = odd_json(json.loads(path.read_bytes()), rng)
    except (ValueError, RecursionError):  # a second mutation of the same file
        return mutate_bytes(path, rng)
    text = json_text(value, indent=1)
    if rng.random() < 0.05:
        text, said = text * 2, "JSON twice"
    path.write_text(text, encoding="utf-8")
    return said


def mutate_jsonl(path: Path, rng: random.Random) -> str:
    """The same of one line."""
    lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    at = rng.randrange(min(len(lines), 3)) if lines else 0  # the first ones are those asked for
    try:
        value, said = odd_json(json.loads(lines[at]), rng)
    except (ValueError, IndexError, RecursionError):
        return mutate_bytes(path, rng)
    lines[at] = json_text(value)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"line {at + 1}: {said}"
