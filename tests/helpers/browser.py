"""Pages opened in a headless Chromium: what they log and what they ask for is a fault."""

import os
import shutil
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>test</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body class="{theme}"><main><h1>Test</h1>{body}</main></body></html>"""


def executable() -> str:
    """Chromium's path: `AVBOOK_CHROMIUM`, or what is on the path. Skips where there is none, except
    in CI, which installs one."""
    found = os.environ.get("AVBOOK_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    message = "no Chromium: install one (Debian: apt-get install chromium) or set AVBOOK_CHROMIUM"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


class Browser:
    """Opens HTML in pages of their own and collects their faults."""

    def __init__(self, chromium, folder: Path):
        self.chromium, self.folder, self.contexts, self.faults = chromium, folder, [], []

    def open(
        self,
        body: str,  # HTML of the page's body
        width: int = 1280,
        dark: bool = False,
        scripts: bool = True,
        touch: bool = False,
    ):
        """The page, loaded."""
        theme = "quarto-dark" if dark else "quarto-light"
        file = self.folder / f"{len(self.contexts)}.html"
        file.write_text(PAGE.format(theme=theme, body=body), encoding="utf-8")
        context = self.chromium.new_context(
            viewport={"width": width, "height": 900}, java_script_enabled=scripts, has_touch=touch
        )
        context.set_default_timeout(120_000)  # a slow machine is no fault
        self.contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("console", self._logged)
        page.on("request", self._asked)
        page.goto(file.as_uri())
        return page

    def _logged(self, message):
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.faults.append(f"asked {request.url}")

    def close(self):
        """Closes the pages; a fault of any of them fails the test."""
        for context in self.contexts:
            context.close()
        assert not self.faults, self.faults


def play_slowly(page, rate: float = 0.0625):
    """Audio plays at this rate from now on, so that a test has time to act while it plays."""
    page.evaluate(
        "rate => { const play = HTMLMediaElement.prototype.play; HTMLMediaElement.prototype.play ="
        " function () { this.playbackRate = rate; return play.call(this); }; }",
        rate,
    )


def overflow(page) -> int:
    """By how many pixels the page is wider than its window."""
    return page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )


def violations(page, selector: str = ".avbook-explorer") -> list[str]:
    """What axe-core finds wrong in a part of the page."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=selector).response["violations"]
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]
