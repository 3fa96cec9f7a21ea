"""Numbers reach the prose: as glued outputs for the page, as variables for JupyterLab."""

import sys
from types import SimpleNamespace

import IPython
import myst_nb
import pytest

from dgm.notebook import say


@pytest.fixture
def notebook(monkeypatch):
    """The variables of a notebook, and what it glued."""
    variables, glued = {"n": 5}, {}
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(user_ns=variables))
    monkeypatch.setattr(myst_nb, "glue", lambda name, value, display: glued.update({name: value}))
    return variables, glued


def test_values_are_shown_without_quotation_marks(notebook):
    variables, glued = notebook
    say(error=f"{0.123:.2f}", count=7)
    assert repr(glued["error"]) == repr(variables["error"]) == "0.12"
    assert repr(glued["count"]) == "7"


def test_a_variable_of_the_notebook_is_never_replaced(notebook):
    variables, glued = notebook
    say(n=5)
    assert variables["n"] == 5 and isinstance(variables["n"], int)
    with pytest.raises(ValueError, match="n: got 6, but the notebook has another n already"):
        say(n=6)


def test_running_a_cell_again_may_change_what_is_said(notebook):
    variables, glued = notebook
    say(error="0.12")
    say(error="0.13")
    assert variables["error"] == glued["error"] == "0.13"


def test_in_a_script_nothing_is_said(monkeypatch):
    monkeypatch.setattr(myst_nb, "glue", lambda *args, **options: pytest.fail("glued"))
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)  # another test may have made a shell
    say(error="0.12")
    monkeypatch.setitem(sys.modules, "IPython", None)
    say(error="0.13")


def test_without_myst_nb_the_prose_can_still_ask_the_kernel(notebook, monkeypatch):
    variables, glued = notebook
    monkeypatch.setitem(sys.modules, "myst_nb", None)
    say(error="0.12")
    assert variables["error"] == "0.12" and not glued
