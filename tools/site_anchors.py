"""Gives the code of a rendered page anchors; site_finish.py applies it to each page.

A chapter shows the source of what it exports, and nbdev links a name in backticks to the chapter
with the name as anchor, such as psp.html#pair_similarity. Here the listing that defines the name
gets that anchor, and those of a class's methods (#memorybank.update)."""

from __future__ import annotations

import re
from html import unescape

LISTING = re.compile(r'<div class="sourceCode"[^>]*>\s*<pre\b.*?</pre>', flags=re.S)


def defined(code: str) -> list[str]:
    """The anchors of what a listing defines: functions, classes and their methods, in lower case as
    nbdev writes them."""
    found, inside = [], ""
    for indent, kind, name in re.findall(r"^( *)(def|class) (\w+)", code, flags=re.M):
        if not indent:
            inside = name if kind == "class" else ""
            found.append(name.lower())
        elif inside and len(indent) == 4 and kind == "def":
            found.append(f"{inside}.{name}".lower())
    return found


def anchored(html: str) -> str:
    """The page with an anchor before each listing for every name that it is the first to define."""
    taken = set(re.findall(r'\bid="([^"]+)"', html))

    def with_anchors(found: re.Match) -> str:
        code = unescape(re.sub(r"<[^>]+>", "", found[0]))
        new = [name for name in dict.fromkeys(defined(code)) if name not in taken]
        taken.update(new)
        return "".join(f'<span id="{name}"></span>' for name in new) + found[0]

    return LISTING.sub(with_anchors, html)
