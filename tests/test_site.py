"""The site's navigation: every page is reachable, and every link between pages leads somewhere."""
import json
import re

import pytest
import yaml
from test_notebooks import BIN, NOTEBOOKS, ROOT, copy_tree, run_there


def listed(contents) -> list[str]:
    out = []
    for entry in contents:
        if isinstance(entry, str):
            out.append(entry)
        else:
            out += [entry["section"]] if entry["section"].endswith(".ipynb") else []
            out += listed(entry["contents"])
    return out


def test_every_page_is_in_the_sidebar_once_and_every_entry_exists():
    site = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))
    pages = listed(site["website"]["sidebar"]["contents"])
    assert sorted(pages) == sorted(str(p.relative_to("nbs")) for p in NOTEBOOKS)
    for entry in site["website"]["navbar"]["left"]:
        assert (ROOT / "nbs" / entry["href"]).exists(), entry


def test_the_settings_link_of_nbdev_is_a_link():
    assert (ROOT / "nbs/_quarto.yml").is_symlink() and (ROOT / "nbs/_quarto.yml").resolve() == (ROOT / "_quarto.yml").resolve()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=str)
def test_links_between_pages_lead_somewhere(path):
    cells = json.loads((ROOT / path).read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text):
        assert (ROOT / path).parent.joinpath(target).exists(), f"{path}: link to {target}"


def test_processed_pages_hold_no_error(tmp_path):
    """What Quarto is given: imports, exports and the documentation of every export, run as the docs build runs them."""
    folder = copy_tree(tmp_path / "avbook")
    run_there(folder, BIN / "python", "-c", "from nbdev.serve import proc_nbs; proc_nbs()")
    broken = []
    for path in sorted((folder / "_proc").rglob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            errors = [o for o in cell.get("outputs", []) if o["output_type"] == "error" or "Traceback" in json.dumps(o)]
            if errors:
                broken.append(f"{path.relative_to(folder / '_proc')}: {''.join(cell['source'])[:80]!r}")
    assert len(list((folder / "_proc").rglob("*.ipynb"))) == len(NOTEBOOKS)
    assert not broken, broken
