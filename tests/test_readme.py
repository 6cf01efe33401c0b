"""README.md is the front page."""
import re

from readme import ROOT, render


def test_readme_is_rendered_from_the_front_page():
    text, figures = render(ROOT / "nbs/index.ipynb")
    assert (ROOT / "README.md").read_text(encoding="utf-8") == text, "run: python tests/readme.py"
    for path, png in figures.items():
        assert (ROOT / path).read_bytes() == png, "run: python tests/readme.py"


def test_the_links_of_the_readme_exist():
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


def test_the_readme_names_the_test_command_that_ci_runs():
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").rstrip().endswith("make test")
