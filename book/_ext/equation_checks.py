"""The tests of the book's equations, read and never imported.

A test in tests/equations/ that carries the marker `@pytest.mark.equation("eq-...")` checks the
equation of that label: it computes both sides.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Check:
    """One test of one equation."""

    label: str
    test: str
    path: Path
    line: int
    summary: str
    source: str

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}"


def marked_labels(function: ast.FunctionDef) -> list[str]:
    """The labels in the function's `@pytest.mark.equation("eq-a", ...)` decorators."""
    calls = [d for d in function.decorator_list if isinstance(d, ast.Call)]
    marks = [c for c in calls if ast.unparse(c.func) == "pytest.mark.equation"]
    return [ast.literal_eval(argument) for mark in marks for argument in mark.args]


def first_line(node: ast.stmt) -> int:
    """Where a definition begins, its decorators included."""
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def source_of(node: ast.stmt, text: str) -> str:
    return "\n".join(text.splitlines()[first_line(node) - 1 : node.end_lineno])


def definitions(module: ast.Module) -> dict[str, ast.stmt]:
    """A test file's own functions, fixtures and constants, by name."""
    found = {}
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found |= {n.id: node for t in node.targets for n in ast.walk(t) if hasattr(n, "id")}
    return found


def with_helpers(test: ast.FunctionDef, module: ast.Module, text: str) -> str:
    """The test's source after that of everything in its file that it uses."""
    known, needed, waiting = definitions(module), {test}, [test]
    while waiting:
        parts = list(ast.walk(waiting.pop()))
        names = {n.id for n in parts if isinstance(n, ast.Name)}
        names |= {n.arg for n in parts if isinstance(n, ast.arg)}  # fixtures
        found = {known[name] for name in names & set(known)} - needed
        needed |= found
        waiting += found
    helpers = sorted(needed - {test}, key=first_line)
    return "\n\n\n".join(source_of(node, text) for node in [*helpers, test])


def read_checks(folder: Path) -> list[Check]:
    """All checks in the folder's test_*.py, in the order of the files."""
    checks = []
    for path in sorted(Path(folder).glob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        module = ast.parse(text)
        for test in [node for node in module.body if isinstance(node, ast.FunctionDef)]:
            summary = (ast.get_docstring(test) or "").strip().split("\n")[0]
            for label in marked_labels(test):
                source = with_helpers(test, module, text)
                checks.append(Check(label, test.name, path, first_line(test), summary, source))
    return checks


def names(check: Check) -> set[str]:
    """Everything that a test and its helpers refer to, by its last name: `elbo`, `log_prob`."""
    parts = list(ast.walk(ast.parse(check.source)))
    return {n.id for n in parts if isinstance(n, ast.Name)} | {
        n.attr for n in parts if isinstance(n, ast.Attribute)
    }
