"""README.md from nbs/index.ipynb, without Quarto: `python tests/readme.py` writes it, test_readme.py checks that it was written."""
import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def render(notebook: Path) -> str:
    """The page as GitHub Markdown: code with its output, no hidden cells, links that work from the repository's top."""
    parts = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"]).strip()
        if re.match(r"#\|\s*hide\b", source):
            continue
        if cell["cell_type"] == "markdown":
            parts.append(re.sub(r"\]\((?!https?:|#)([^)]+)\)", r"](nbs/\1)", source))
            continue
        directives = re.findall(r"^#\|\s*(.+)$", source, flags=re.M)
        code = re.sub(r"^#\|.*\n?", "", source, flags=re.M).strip()
        if code and "echo: false" not in directives:
            parts.append(f"```python\n{code}\n```")
        parts += [text for output in cell["outputs"] if (text := _shown(output))]
    return "\n\n".join(parts) + "\n"


def _shown(output: dict) -> str:
    data = output.get("data", {})
    if "text/markdown" in data:
        return re.sub(r"\]\((?!https?:|#)([^)]+)\)", r"](nbs/\1)", "".join(data["text/markdown"]).strip())
    text = "".join(output.get("text", data.get("text/plain", ""))).rstrip()
    return "" if not text or "image/png" in data else f"```\n{text}\n```"


if __name__ == "__main__":
    (ROOT / "README.md").write_text(render(ROOT / "nbs/index.ipynb"), encoding="utf-8")
