"""Spoilt inputs into every command and loader: what comes of each is sound, or it is refused in one
line; no traceback, no hang, nothing half-written."""

import json
from pathlib import Path

import pytest
from forked import run_forked, script
from hypothesis import HealthCheck, given, settings, strategies as st

from avbook.data.annotations import read_annotations, read_spans, read_videos
from avbook.data.h5_files import read_h5
from avbook.data.npy_files import read_npy
from avbook.data.validation import read_manifest
from avbook.errors import AvbookError
from avbook.experiments.options import as_word
from avbook.experiments.recipe import parse_options, resolve_settings
from avbook.experiments.recipes import RECIPES
from avbook.experiments.records import read_record
from avbook.training.weights import read_tensors
from avbook.world.build import open_world

ATTACK = Path(__file__).with_name("attack.py")


def attack(*words):
    """What the attack prints; fails where it finds what no input may cause."""
    code, out, err = run_forked(script, str(ATTACK), *map(str, words))
    assert code == 0, out + err
    return out


def test_a_sample_of_inputs():
    """The same ones each time, so that a change is what turns this red."""
    attack("--inputs", 100, "--seed", 0, "--patience", 120, "--shown", 20)


@pytest.mark.soak
def test_ten_thousand_inputs(capsys):
    said = attack("--inputs", 10_000, "--seed", 1, "--shown", 20)
    with capsys.disabled():
        print("\n" + said)


# ------------------------------------------------------------------------------ any text, any value
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.text('\t&,\n\r"0123456789_-abcDog.é\x00\ufeff ', max_size=60)
CONTENTS = (
    st.binary(max_size=200)
    | FIELDS.map(lambda text: text.encode("utf-8"))
    | VALUES.map(lambda value: json.dumps(value).encode())
)
HEADS = {
    "Annotations.txt": "",
    "spans.csv": "filename\tonset\toffset\tevent_labels\n",
    "videos.csv": "filename\tevent_labels\n",
}
READERS = {
    "Annotations.txt": read_annotations,
    "spans.csv": read_spans,
    "videos.csv": read_videos,
    "seed-0.json": read_record,
    "world.json": lambda path: open_world(path.parent),
    "pack.json": lambda path: read_manifest(path.parent),
    "labels.h5": lambda path: read_h5(path, "avadataset"),
    "a.npy": read_npy,
    "w.safetensors": read_tensors,
}
anything = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_or_refused(read, *arguments):
    """Called; a refusal is one line."""
    try:
        return read(*arguments)
    except AvbookError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", READERS)
@anything
@given(contents=CONTENTS)
def test_a_file_of_any_contents(tmp_path, name, contents):
    path = tmp_path / name
    path.write_bytes(HEADS.get(name, "").encode() + contents)
    read_or_refused(READERS[name], path)


RECORD = {
    "recipe": "psp-full",
    "options": {},
    "preset": "quick",
    "seed": 0,
    "data": {"kind": "world", "name": "w", "hash": "h"},
    "metrics": {"test": {"last": {"accuracy": 50.0}}},
    "command": "avbook run psp-full --seed 0",
}


@pytest.mark.parametrize("key", RECORD)
@anything
@given(value=VALUES)
def test_a_record_with_any_value_of_a_field(tmp_path, key, value):
    path = tmp_path / "seed-0.json"
    path.write_text(json.dumps({**RECORD, key: value}))
    read_or_refused(read_record, path)


@anything
@given(data=st.data(), words=st.text(min_size=1, max_size=30))
def test_an_option_of_any_value(data, words):
    recipe = data.draw(st.sampled_from(list(RECIPES.values())))
    name = data.draw(st.sampled_from(list(recipe.options)))
    value = data.draw(st.just(words) | VALUES.map(json.dumps) | st.floats().map(as_word))

    def resolve():
        settings_, _ = resolve_settings(recipe, "quick", parse_options([f"{name}={value}"]))
        json.dumps(settings_, allow_nan=False)

    read_or_refused(resolve)
