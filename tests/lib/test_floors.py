"""The library's floors: imports go down only, in no circle. The contracts are in pyproject.toml."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dgm

ROOT = Path(__file__).parents[2]
LIB = Path(dgm.__file__).parents[1]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint(lib: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", LINT, ROOT / "pyproject.toml", "--no-cache", "--no-logo"],
        env=os.environ | {"PYTHONPATH": str(lib)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_imports_go_down_only_and_in_no_circle():
    run = lint(LIB)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("train/loop.py", "from ..plots import history", "Imports go down only BROKEN"),
        ("protocols.py", "from .checks import integer", "There is no circle BROKEN"),
        ("train/steps.py", "from .loop import fit", "There is no circle BROKEN"),
    ],
)
def test_an_import_inside_a_function_is_seen(file, line, broken, tmp_path):
    shutil.copytree(LIB / "dgm", tmp_path / "dgm", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "dgm" / file).open("a", encoding="utf-8") as source:
        source.write(f"\n\ndef later():\n    {line}\n")
    run = lint(tmp_path)
    assert run.returncode == 1 and broken in run.stdout, run.stdout + run.stderr
