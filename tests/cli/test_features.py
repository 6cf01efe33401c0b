"""`avbook features` as a user meets it: help that teaches, what is said of videos, one line on a
fault."""

import os
import shlex

import pytest
from forked import avbook_command, run_forked
from processes import ROOT
from typer.testing import CliRunner
from valid_inputs import make_videos

from avbook.cli import app
from avbook.errors import AvbookError

pytest.importorskip("av", reason="PyAV is not installed: pip install 'avbook[clips]'")
WORLD = ("--visual", "world", "--audio", "world", "--jobs", "1")


def avbook(*words, cwd=ROOT, code=0):
    """Standard output and errors of the command."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    found, out, err = run_forked(avbook_command, *map(str, words), cwd=cwd, environment=environment)
    assert found == code, out + err
    return out, err


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "my videos"
    make_videos(folder, 2, 1)
    return folder


def test_help_shows_what_goes_together():
    out, _ = avbook("features", "--help")
    for word in ("--like", "--visual", "--audio", "--weights", "--annotations", "--project",
                 "--seconds", "--partial", "--device", "--jobs", "avbook label"):  # fmt: skip
        assert word in out
    assert "features" in avbook("--help")[0]


def test_it_says_where_the_features_are_and_what_is_odd(videos, tmp_path):
    out, err = avbook("features", *WORLD, "--seconds", "2", "--", videos, "-o f", cwd=tmp_path)
    assert not err, "no bar where there is no terminal"
    lines = out.splitlines()
    assert len(lines) == 3 and lines[0].startswith("video 0.mp4: ") and "padded to 2 s" in lines[0]
    folder = tmp_path / "-o f"
    assert f"{folder}: 2 clips of 2 s; check" in lines[-1]
    assert shlex.quote(str(folder)) in lines[-1]
    said, _ = avbook("data", "check", folder, code=1)
    assert "avbook label" in said


def test_videos_that_cannot_be_used_are_listed_and_the_fault_is_one_line(videos, tmp_path):
    (videos / "none.mp4").write_text("no video")
    try:
        out, err = avbook("features", videos, tmp_path / "out", *WORLD, code=1)
        assert out.startswith("none.mp4: found text")
        assert len(err.splitlines()) == 1 and "leave out with --partial" in err
        out, _ = avbook("features", videos, tmp_path / "out", *WORLD, "--partial")
        assert "left out: none.mp4: found text" in out
    finally:
        (videos / "none.mp4").unlink()


def test_a_name_that_begins_with_a_dash_is_told_from_an_option(videos, tmp_path):
    (tmp_path / "-x 1.mp4").symlink_to(videos / "video 0.mp4")
    _, err = avbook("features", "-x 1.mp4", "out", *WORLD, cwd=tmp_path, code=1)
    assert err.count("\n") == 1 and "write it as './-x 1.mp4'" in err
    _, err = avbook("features", "-y 1.mp4", "out", *WORLD, cwd=tmp_path, code=2)
    assert "No such option" in err


@pytest.mark.parametrize("command", ["features", "label", "export", "data check"])
def test_what_may_not_be_read_is_one_line(tmp_path, monkeypatch, command):
    (tmp_path / "mine").mkdir()
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, *rest: "mine" not in str(path) and real(path, *rest)
    )
    found = CliRunner().invoke(app, [*command.split(), str(tmp_path / "mine"), "out"][:3])
    assert isinstance(found.exception, AvbookError), found.output
    assert "mine' is not readable; change its permissions" in str(found.exception)


@pytest.mark.parametrize(
    "words, said",
    [
        (("--like", "avl"), "task 'avl'"),
        (("--visual", "vgg19"), "none for VGG-19"),
        (("--weights", "mine.pth"), "NETWORK=mine.pth"),
        (("--annotations", "nothing.txt"), "nothing.txt: no such file"),
    ],
)
def test_bad_words_are_one_line(videos, tmp_path, words, said):
    _, err = avbook("features", videos, tmp_path / "out", *words, code=1)
    assert len(err.splitlines()) == 1 and said in err and not (tmp_path / "out").exists()
