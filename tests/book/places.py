"""Where things are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
EQUATIONS = ROOT / "tests" / "equations"
SITE = ROOT / "_build" / "html"
BUILD = "make book"
