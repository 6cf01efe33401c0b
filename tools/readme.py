"""README.md from nbs/index.ipynb, without Quarto: `python tools/readme.py` writes it,
test_readme.py checks that it is up to date."""

import base64
import html
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIGURE = re.compile(r'<img src="data:image/(\w+);base64,([^"]+)" alt="([^"]*)"')


def render(notebook: Path) -> tuple[str, dict[str, bytes]]:
    """The page as GitHub Markdown (code with its output, without hidden cells, links relative to
    the repository) and its figures by path; of an explorer its static figure."""
    parts, figures = [], {}

    def keep(content: str, kind: str, alt: str) -> None:
        path = f"nbs/images/{notebook.stem}-{len(figures)}.{kind}"
        figures[path] = base64.b64decode(content)
        parts.append(f"![{alt}]({path})")

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
            explorer = FIGURE.search("".join(data.get("text/html", "")))
            if explorer:
                keep(explorer[2], explorer[1], html.unescape(explorer[3]))
            elif "image/png" in data:
                keep(data["image/png"], "png", cell["metadata"].get("fig-alt", ""))
            elif "text/markdown" in data:
                parts.append(_from_top("".join(data["text/markdown"]).strip()))
            elif text := "".join(output.get("text", data.get("text/plain", ""))).rstrip():
                parts.append(f"```\n{text}\n```")
    return "\n\n".join(parts) + "\n", figures


def _from_top(markdown: str) -> str:
    """Links from the top of the repository, without what is for the site only: comments, and the
    elements that its style sheet places."""
    markdown = re.sub(r"<!--.*?-->", "", markdown, flags=re.S)
    markdown = re.sub(r"</?(?:div|span)\b[^>]*>", "", markdown)
    markdown = re.sub(r"\n{3,}", "\n\n", markdown).strip()
    return re.sub(r"\]\((?!https?:|#)([^)]+)\)", r"](nbs/\1)", markdown)


if __name__ == "__main__":
    text, pictures = render(ROOT / "nbs/index.ipynb")
    (ROOT / "README.md").write_text(text, encoding="utf-8")
    for place, image in pictures.items():
        (ROOT / place).write_bytes(image)
