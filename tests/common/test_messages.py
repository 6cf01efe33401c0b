"""What is shown on a terminal is one line."""

import warnings

from avbook.common.messages import LONGEST, one_line, show_note, tell


def test_no_line_breaks_and_nothing_a_terminal_would_act_on():
    assert one_line("a\r\n\tb  c\n") == "a b c"
    assert one_line("\x1b[31m \x00 \x7f") == r"\x1b[31m \x00 \x7f"
    assert one_line("x\udcff \u202e") == r"x\udcff \u202e"
    assert one_line("\N{GREEK SMALL LETTER TAU} ± 1") == "\N{GREEK SMALL LETTER TAU} ± 1"


def test_a_long_text_keeps_its_beginning_and_its_end():
    text = "file: " + "x" * 10**6 + "; do this"
    line = one_line(text)
    assert len(line) <= LONGEST and line.startswith("file: ") and line.endswith("; do this")
    assert len(one_line("\x00" * 10**6)) <= LONGEST
    assert one_line("x" * LONGEST) == "x" * LONGEST


def test_what_cannot_be_told_is_told_so():
    class Mute:
        def __str__(self):
            raise KeyError

    assert one_line(Mute()) == "(KeyError while its message was made)"


def test_a_warning_is_a_note(capsys, monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", show_note)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("first\nsecond", stacklevel=1)
    assert capsys.readouterr().err == "avbook: note: first second\n"


def test_a_terminal_that_is_gone_hears_nothing(monkeypatch, tmp_path):
    with open(tmp_path / "x", "w") as closed:
        pass
    monkeypatch.setattr("sys.stderr", closed)
    tell("anything")
