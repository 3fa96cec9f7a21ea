"""Where things are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
PAGES = [*NOTEBOOKS, *sorted(BOOK.rglob("*.md"))]
EQUATIONS = ROOT / "tests" / "equations"
SITE = ROOT / "_build" / "html"
BUILD = "make book"
