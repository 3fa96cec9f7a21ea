"""A Chromium to look at pages with: found on this machine, or fetched, or loudly missed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from playwright.sync_api import Browser, Error, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-quic",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]
# Ways to get a browser where there is none: playwright's download, Debian's package (as root).
FETCH = [
    [sys.executable, "-m", "playwright", "install", "chromium"],
    ["apt-get", "install", "-y", "-qq", "chromium"],
]


def installed() -> str | None:
    """$CHROMIUM, or the first of the usual names on the PATH; None for playwright's own."""
    given = os.path.expanduser(os.environ.get("CHROMIUM", ""))
    return given or next(filter(None, map(shutil.which, NAMES)), None)


def launch(playwright: Playwright) -> Browser:
    """Start a browser, fetching one if need be. Raises playwright's Error if none can be had."""
    try:
        return start(playwright)
    except Error as error:
        reason = error
    for command in FETCH:
        print("no Chromium yet, trying:", " ".join(command), file=sys.stderr)
        if shutil.which(command[0]) and subprocess.run(command, check=False).returncode == 0:
            return start(playwright)
    raise reason


def start(playwright: Playwright) -> Browser:
    # three minutes: a browser that starts slowly must not count as none
    return playwright.chromium.launch(executable_path=installed(), args=FLAGS, timeout=180_000)
