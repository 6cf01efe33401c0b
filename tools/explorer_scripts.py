"""Brings the scripts in stored explorers up to date after a change in avbook/show/explorers/js:
`python tools/explorer_scripts.py`; test_site.py checks that it was done.

A notebook's output holds the script beside the data that a cell computed. The script alone can be
replaced without running the page again."""

import json
import re
from pathlib import Path

from site_files import NBS

from avbook.show.explorers.base import script

STORED = re.compile(r'(<script type="module" data-script="([\w-]+)">\n)(.*?)(</script>)', re.S)


def updated(html: str) -> str:
    """The output with the present script of its explorer."""
    return STORED.sub(lambda found: f"{found[1]}{script(found[2])}{found[4]}", html)


def stored(cell: dict) -> list[dict]:
    """The data of a cell's outputs that hold an explorer."""
    found = [output.get("data", {}) for output in cell.get("outputs", ())]
    return [data for data in found if STORED.search("".join(data.get("text/html", ())))]


def outdated(path: Path) -> bool:
    """Whether an explorer of the notebook has an older script."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = ["".join(data["text/html"]) for cell in cells for data in stored(cell)]
    return any(html != updated(html) for html in outputs)


def main() -> None:
    for path in sorted(NBS.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts or not outdated(path):
            continue
        page = json.loads(path.read_text(encoding="utf-8"))
        for cell in page["cells"]:
            for data in stored(cell):
                html = updated("".join(data["text/html"]))
                data["text/html"] = html.splitlines(keepends=True)
        text = json.dumps(page, sort_keys=True, indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
        print(path.relative_to(NBS))


if __name__ == "__main__":
    main()
