"""README.md is the front page."""
from readme import ROOT, render


def test_readme_is_rendered_from_the_front_page():
    assert (ROOT / "README.md").read_text(encoding="utf-8") == render(ROOT / "nbs/index.ipynb"), "run: python tests/readme.py"


def test_the_links_of_the_readme_exist():
    import re

    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target
