"""Where a record lies, and the command in it: a shell and the command line take it as it was."""

import shlex
from types import SimpleNamespace

import pytest
from typer.main import get_command

from avbook.cli import app
from avbook.experiments.keys import command, record_path, run_key
from avbook.experiments.recipe import parse_options, resolve_settings
from avbook.experiments.recipes import find_recipe


def parsed(line: str) -> dict:
    """What the command line makes of it, after a shell."""
    program, *words = shlex.split(line)
    assert program == "avbook"
    return get_command(app).commands[words[0]].make_context("run", words[1:]).params


@pytest.mark.parametrize(
    "recipe, where, options, out, device",
    [
        ("psp-full", "world:tiny", {}, "runs", "auto"),
        ("psp-full", "my data", {"tau": 0.1, "strict": False}, "my runs", "cpu"),
        ("psp-full", "it's; rm -rf $HOME *", {"prune": "asp"}, "a'b\"c", "cuda"),
        ("psp-full", "-odd --data", {"lr": 1e-20}, "--out", "cpu"),
        ("cmlcl", "a\nb", {"kl_cap": "10nats", "k": 3}, "runs", "auto"),
        ("cmlcl", "über", {"kl_cap": "2.5"}, "runs/", "auto"),
        ("cmlcl", "world", {"kl_cap": "none"}, "./runs", "auto"),
    ],
)
def test_the_command_is_read_as_it_was_meant(recipe, where, options, out, device):
    found = find_recipe(recipe)
    _, changed = resolve_settings(found, "quick", options)
    line = command(found, where, "quick", changed, 7, out=out, device=device)
    told = parsed(line)
    assert (told["recipe"], told["data"], told["preset"]) == (recipe, where, "quick")
    assert (told["seed"], str(told["out"]), told["device"]) == (7, out.strip("./") or out, device)
    assert resolve_settings(found, "quick", parse_options(told["set_"] or []))[1] == changed
    assert parsed(line.rsplit(" --seed", 1)[0] + " --seeds 3")["seeds"] == 3, "as tables make it"


def test_a_plain_command_says_no_more_than_it_must():
    line = command(find_recipe("psp-full"), "world", "quick", {"tau": 0.1}, 0)
    assert line == "avbook run psp-full --data world --preset quick --set tau=0.1 --seed 0"


def test_a_record_is_looked_for_by_what_it_is_of(tmp_path):
    recipe = find_recipe("psp-full")
    data, copy, other = (
        SimpleNamespace(name=name, hash=content)
        for name, content in (("ave", "abc"), ("co[py]*", "abc"), ("ave", "abd"))
    )

    def path(data, seed=0, preset="quick", **options):
        return record_path(tmp_path, recipe, preset, options, data, seed)

    first = tmp_path / "psp-full" / run_key(recipe, "quick", {}, data) / "seed-0.json"
    assert path(data) == first and path(copy).parent.name.startswith("co_py_-quick-")
    first.parent.mkdir(parents=True)
    first.touch()
    assert path(data) == path(copy) == first and path(copy, 1) == first.with_name("seed-1.json")
    apart = [path(other), path(data, preset="paper"), path(data, tau=0.2)]
    assert len({first.parent, *(one.parent for one in apart)}) == 4
    # of two folders the one that has the seed, then the one where it was begun, then its own
    own = tmp_path / "psp-full" / run_key(recipe, "quick", {}, copy)
    own.mkdir()
    assert path(copy) == first and path(copy, 1) == own / "seed-1.json"
    (first.parent / "seed-1").mkdir()
    assert path(copy, 1) == first.with_name("seed-1.json")


def test_a_pattern_in_the_name_of_a_folder_is_none(tmp_path):
    data, recipe = SimpleNamespace(name="ave", hash="abc"), find_recipe("psp-full")
    for out in (tmp_path / "[ab]*?", tmp_path / "a"):
        path = record_path(out, recipe, "quick", {}, data, 0)
        path.parent.mkdir(parents=True)
        assert path.is_relative_to(out)
        assert record_path(out, recipe, "quick", {}, data, 0) == path
