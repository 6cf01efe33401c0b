"""Removes all requests to other hosts from a rendered page; site_finish.py applies it to each page.

Into every page with an HTML output, such as a DataFrame, Quarto writes jQuery and require.js, and
beside a widget's output the widget manager, as scripts from other hosts that block the head. No
page needs them: tables are plain HTML, and each widget, which needs a kernel, has a figure beside
it. These scripts are removed, and the stored widget state with them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script\s*>\n?", flags=re.S | re.I)
REMOTE = re.compile(r"\s*(?:https?:)?//", flags=re.I)
STYLE_REQUEST = re.compile(
    r"(?:@import\s+|url\()\s*(?:url\()?['\"]?((?:https?:)?//[^'\")\s]+)", flags=re.I
)
LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "audio": "src",
    "video": "src",
    "source": "src",
    "track": "src",
    "embed": "src",
    "input": "src",
    "object": "data",
    "link": "href",
}
NO_REQUEST = {
    "canonical",
    "alternate",
    "author",
    "license",
    "next",
    "prev",
    "help",
    "bookmark",
}  # link elements that only name a page


def stripped(html: str) -> str:
    """The page without scripts from other hosts, without the glue between the two that Quarto adds,
    and without stored widget state."""

    def kept(found: re.Match) -> str:
        attributes, body = found.groups()
        source = re.search(r"\bsrc\s*=\s*[\"']?([^\"'\s>]+)", attributes)
        from_elsewhere = source is not None and REMOTE.match(source[1])
        of_widgets = "application/vnd.jupyter.widget" in attributes or body.lstrip().startswith(
            "define('jquery'"
        )
        return "" if from_elsewhere or of_widgets else found[0]

    return SCRIPT.sub(kept, html)


class _Requests(HTMLParser):
    """Addresses on other hosts that a browser requests when it shows the page."""

    def __init__(self):
        super().__init__()
        self.found, self.in_style = [], False

    def handle_starttag(self, tag, attrs):
        told = {name: value or "" for name, value in attrs}
        address = told.get(LOADS.get(tag, ""), "")
        named_only = tag == "link" and set(told.get("rel", "").lower().split()) <= NO_REQUEST
        if REMOTE.match(address) and not named_only:
            self.found.append(address.strip())
        for part in told.get("srcset", "").split(","):
            if REMOTE.match(part):
                self.found.append(part.split()[0])
        self.found += [told["poster"]] if REMOTE.match(told.get("poster", "")) else []
        self.found += STYLE_REQUEST.findall(told.get("style", ""))
        self.in_style = tag == "style"

    def handle_endtag(self, tag):
        self.in_style = self.in_style and tag != "style"

    def handle_data(self, data):
        if self.in_style:
            self.found += STYLE_REQUEST.findall(data)


def requests(html: str) -> list[str]:
    """The addresses on other hosts that showing the page would request: scripts, style sheets,
    fonts, images, audio, frames."""
    parser = _Requests()
    parser.feed(html)
    return parser.found
