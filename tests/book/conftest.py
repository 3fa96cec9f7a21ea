"""The fixtures of the book's tests."""

from __future__ import annotations

import os
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sphinx.config import Config

# The helpers beside this file and the book's extensions are imported by name.
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "book" / "_ext")]

import chromium  # noqa: E402
from loud import NO_AXE, NO_BROWSER  # noqa: E402
from places import BUILD, SITE  # noqa: E402

PATIENCE = 300_000  # milliseconds for what takes a few hundred where nothing else runs


@pytest.fixture(autouse=True)
def default_suffixes():
    """A small book of one test adds its file types to Sphinx's default, where others find them."""
    option = Config.config_values["source_suffix"]
    before = dict(option.default)
    yield
    option.default.clear()
    option.default.update(before)


@pytest.fixture(scope="session")
def site() -> Path:
    """The built site. Tests of a site that is not there must not look as if they had passed."""
    if not (SITE / "index.html").is_file():
        pytest.fail(f"There is no built site in {SITE}. Build it with: {BUILD}", pytrace=False)
    return SITE


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a log line for each."""

    def log_message(self, *args) -> None:
        pass


@pytest.fixture(scope="session")
def address(site):
    """The site over HTTP on the loopback interface."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


class Patient:
    """A browser whose pages wait for what is slow: half a minute is not much on a busy machine."""

    def __init__(self, browser):
        self.browser = browser

    def new_context(self, **options):
        context = self.browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        return context

    def new_page(self, **options):
        tab = self.browser.new_page(**options)
        tab.set_default_timeout(PATIENCE)
        return tab


@pytest.fixture(scope="session")
def browser():
    """One browser for all tests. Without one they fail in CI and are missed loudly elsewhere."""
    from playwright.sync_api import Error, expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        try:
            instance = chromium.launch(playwright)
        except Error as error:
            reason = str(error).strip().splitlines()[0]
            if os.environ.get("CI"):
                pytest.fail(f"no browser could be started: {reason}", pytrace=False)
            pytest.skip(f"{NO_BROWSER} ({reason})")
        yield Patient(instance)
        instance.close()


def pytest_terminal_summary(terminalreporter):
    """Say at the very end what was not looked at: a skipped test is easy to overlook."""
    reports = [str(r.longrepr) for r in terminalreporter.stats.get("skipped", [])]
    advice = {
        NO_BROWSER: "Install Chromium, or set CHROMIUM to the path of one; then `make test` again.",
        NO_AXE: "Accessibility was not looked at by its rules.",
    }
    counts = {reason: sum(reason in said for said in reports) for reason in advice}
    if any(counts.values()):
        terminalreporter.section("NOT TESTED", sep="!", red=True, bold=True)
    for reason, count in counts.items():
        if count:
            line = f"{count} browser tests did not run: {reason}. {advice[reason]}"
            terminalreporter.line(line)
