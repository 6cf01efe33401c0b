"""The book's words and the form of its pages, checked: `python tools/language.py [PAGE or MODULE…]`
lists what to change; test_language.py checks that nothing is listed.

A word stands here where the field has another one (`HOUSE_WORDS`), or where a plain sentence needs
none. `ALLOWED` names the places where such a word is right."""

import ast
import base64
import io
import json
import re
import struct
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 88  # of shown code
CELL_LINES = 15  # of a shown cell that is not one definition
FIGURE = 770  # pixels: 7 inches at 110 dots per inch

# pattern -> what to write instead
HOUSE_WORDS = {
    r"pictures?|pictured": "visual stream, frames, image, figure",
    r"rightly": "correctly",
    r"(?:told|tells?|telling) (?:\w+ ){0,3}apart": "distinguish; significant; excludes zero",
    r"riddles?": "pretext task",
    r"brothers?": "same-class clips",
    r"strangers?": "unrelated clip, different-class clips, newcomer",
    r"whoever|whatever|somebody|nobody|anybody": "name the subject",
    r"by heart": "memorised",
    r"by lot": "at random",
    r"opinions?": "score, value, undefined",
    r"judges?|judged|judging|judgements?": "evaluate, score, base model",
    r"decoys?": "silent object in view",
    r"intruders?": "off-screen sound",
    r"registers?": "list of discrepancies",
    r"kn[eo]ws? nothing": "random filters, uninformative features",
    r"says? nothing|said nothing": "empty prediction; raises no error",
    r"the (?:ear|eye|door)|same door": "audio extractor, visual extractor, input check",
    r"(?:two|both|forward|backward) readers?": "LSTM directions",
    r"(?<!audio )(?<!visual )tracks?": "stream, modality; row (of a plot)",
    r"riva?ls?": "negative",
    r"one's own": "your own",
    r"mend(?:s|ed|ing)?": "fix, correct",
    r"shall|whence|lest|thereby|aright|naught|nought|oneself": "plain words",
    r"speaks? (?:for|against)": "supports, contradicts",
    r"[Tt]he (?:world's )?truth of|by the truth": "ground truth",
}
NOT_IN_TITLES = r"\b[A-Z]\w+ less [A-Z]\w+"  # "MA less HAN": minus
# (path, pattern of the word) -> why it is right there
ALLOWED: dict[tuple[str, str], str] = {}


def plain(markdown: str) -> str:
    """Prose without code, formulas, comments, tags and the targets of links."""
    for pattern in (
        r"```.*?```",
        r"\$\$.*?\$\$",
        r"\$[^$\n]+\$",
        r"<!--.*?-->",
        r"`[^`]*`",
        r"\]\([^)]*\)",
        r"<[^>]+>",
        r"\bavbook(?:\.\w+)+",
        r"\*[A-Z][^*\n]{30,}\*",  # titles of papers
    ):
        markdown = re.sub(pattern, " ", markdown, flags=re.S)
    return markdown


def strings(code: str) -> Iterator[str]:
    """The comments of Python code and its strings that hold words, docstrings included."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (tokenize.TokenError, IndentationError, SyntaxError):
        return
    for token in tokens:
        if token.type == tokenize.COMMENT and not token.string.startswith("#|"):
            yield re.sub(r"`[^`]*`", " ", token.string)
        elif token.type == tokenize.STRING or token.type == getattr(tokenize, "FSTRING_MIDDLE", -1):
            text = token.string
            if " " in text.strip("\"' "):  # a key or a name is no prose
                yield re.sub(r"`[^`]*`", " ", text)


def house_words(text: str, path: str) -> list[str]:
    """What to change in a text, a line each."""
    found = []
    for pattern, instead in HOUSE_WORDS.items():
        if (path, pattern) in ALLOWED:
            continue
        for match in re.finditer(rf"\b(?:{pattern})\b", text, flags=re.I):
            around = " ".join(text[max(0, match.start() - 40) : match.end() + 30].split())
            found.append(f"{match[0]!r} -> {instead}: …{around}…")
    found += [f"{m!r}: minus" for m in re.findall(NOT_IN_TITLES, text)]
    return found


def words_of_page(path: Path) -> list[str]:
    """House words in a page's prose, alternative texts, comments, strings and printed outputs."""
    name = path.relative_to(ROOT).as_posix()
    found = []
    for i, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
        source = "".join(cell["source"])
        texts = [plain(source)] if cell["cell_type"] == "markdown" else list(strings(source))
        texts += [str(cell["metadata"].get(key, "")) for key in ("fig-alt", "fig-cap")]
        documentation = source.endswith(")") and "show_doc(" in source  # of a module, checked there
        for output in [] if documentation else cell.get("outputs", []):
            data = output.get("data", {})
            texts.append("".join(output.get("text", data.get("text/plain", ""))))
            texts.append(plain("".join(data.get("text/markdown", ""))))
        found += [f"cell {i}: {line}" for text in texts for line in house_words(text, name)]
    return found


def words_of_module(path: Path) -> list[str]:
    """House words in a module's docstrings, comments and messages."""
    if path == Path(__file__).resolve():  # it lists the words themselves
        return []
    name = path.relative_to(ROOT).as_posix()
    code = path.read_text(encoding="utf-8")
    return [line for text in strings(code) for line in house_words(text, name)]


def one_definition(code: str) -> bool:
    """Whether a cell holds one function or class, with its imports or constants at most."""
    try:
        body = ast.parse(code).body
    except SyntaxError:
        return False
    return sum(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in body) == 1 == len(body)


def form_of_page(path: Path) -> list[str]:
    """What of a page's form is to change: long lines, long cells, figures of another width."""
    found = []
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for i, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        hidden = re.search(r"^#\|\s*(?:hide\b|echo:\s*false)", source, flags=re.M)
        folded = cell["metadata"].get("code-fold")
        lines = [line for line in source.splitlines() if not line.startswith("#|")]
        long = [line for line in lines if len(line) > COLUMNS]
        if long and not hidden:
            found.append(f"cell {i}: {len(long)} lines over {COLUMNS} columns: {long[0]!r}")
        count = sum(bool(line.strip()) for line in lines)
        if not hidden and not folded and count > CELL_LINES and not one_definition(source):
            found.append(f"cell {i}: {count} lines: fold it, split it or shorten it")
        for output in cell["outputs"]:
            if png := output.get("data", {}).get("image/png"):
                width = struct.unpack(">I", base64.b64decode(png)[16:20])[0]
                if width != FIGURE:
                    found.append(f"cell {i}: a figure is {width} pixels wide: expected {FIGURE}")
                if not folded and not hidden and count > 6:
                    found.append(f"cell {i}: {count} lines draw a figure: fold them")
    return found


def modules() -> list[Path]:
    """The package's modules and the tools."""
    return sorted((ROOT / "avbook").rglob("*.py")) + sorted((ROOT / "tools").glob("*.py"))


def main(paths: list[str]) -> int:
    count = 0
    chosen = [Path(p).resolve() for p in paths] or sorted((ROOT / "nbs").rglob("*.ipynb"))
    for path in chosen:
        if path.suffix == ".ipynb":
            found = words_of_page(path) + form_of_page(path)
        else:
            found = words_of_module(path)
        count += len(found)
        for line in found:
            print(f"{path.relative_to(ROOT)}: {line}")
    print(f"{count} to change")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
