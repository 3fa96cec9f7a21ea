"""Why tests were skipped that nobody should miss; conftest.py says it at the very end."""

NO_BROWSER = "no Chromium was found and none could be fetched"
NO_AXE = "axe is not installed (pip install axe-playwright-python)"
