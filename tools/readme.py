"""README.md from nbs/index.ipynb, without Quarto: `python tools/readme.py` writes it,
test_readme.py checks that it is up to date."""

import base64
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def render(notebook: Path) -> tuple[str, dict[str, bytes]]:
    """The page as GitHub Markdown (code with its output, without hidden cells, links relative to
    the repository) and its figures by path."""
    parts, figures = [], {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"]).strip()
        if re.match(r"#\|\s*hide\b", source):
            continue
        if cell["cell_type"] == "markdown":
            parts.append(_from_top(source))
            continue
        directives = dict(
            line.partition(":")[::2] for line in re.findall(r"^#\|\s*(.+)$", source, flags=re.M)
        )
        code = re.sub(r"^#\|.*\n?", "", source, flags=re.M).strip()
        if code and directives.get("echo", "").strip() != "false":
            parts.append(f"```python\n{code}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                path = f"nbs/images/{notebook.stem}-{len(figures)}.png"
                figures[path] = base64.b64decode(data["image/png"])
                parts.append(f"![{cell['metadata'].get('fig-alt', '')}]({path})")
            elif "text/markdown" in data:
                parts.append(_from_top("".join(data["text/markdown"]).strip()))
            elif text := "".join(output.get("text", data.get("text/plain", ""))).rstrip():
                parts.append(f"```\n{text}\n```")
    return "\n\n".join(parts) + "\n", figures


def _from_top(markdown: str) -> str:
    return re.sub(r"\]\((?!https?:|#)([^)]+)\)", r"](nbs/\1)", markdown)


if __name__ == "__main__":
    text, pictures = render(ROOT / "nbs/index.ipynb")
    (ROOT / "README.md").write_text(text, encoding="utf-8")
    for place, png in pictures.items():
        (ROOT / place).write_bytes(png)
