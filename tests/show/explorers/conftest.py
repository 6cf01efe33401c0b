"""A headless Chromium for the explorers: one a process, with fresh pages for each test."""

import pytest
from browser import Browser, executable


@pytest.fixture(scope="session")
def chromium():
    path = executable()
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def browser(chromium, tmp_path):
    """Opens pages; at the end no page has logged an error or asked another host."""
    opened = Browser(chromium, tmp_path)
    yield opened
    opened.close()
