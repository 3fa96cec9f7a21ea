"""What a notebook needs beside the models: numbers and conditions for its prose, verdicts on its
exercises."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

_verdicts: dict[str, str] = {}


def say(**values) -> None:
    """Hand computed values to the prose, where the role {eval}`name` shows them.

    The built page gets them through the cell's output (myst-nb's glue); in JupyterLab, where
    `{eval}` asks the kernel, they are variables. A value appears as `str(value)`, so that rounding
    is done here: `say(error=f"{error:.2f}")`. A chapter that runs as a script has no prose to fill:
    there it does nothing.

    Raises:
        ValueError: the notebook already uses a name for something that reads differently.
    """
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is None:
        return
    for name, value in values.items():
        theirs = name in shell.user_ns and not isinstance(shell.user_ns[name], Text)
        if theirs and str(shell.user_ns[name]) != str(value):
            raise ValueError(f"{name}: got {value}, but the notebook has another {name} already")
        if not theirs:
            shell.user_ns[name] = Text(value)
    with suppress(ImportError):  # without myst-nb there is no page to build either
        from myst_nb import glue

        for name, value in values.items():
            glue(name, Text(value), display=False)


def claim(**conditions) -> None:
    """Bind sentences to this run: `claim(tighter=iwae > elbo)`, and {claim}`tighter` in the text.

    The role shows as a tick that says what was compared. A chapter whose text claims what its own
    numbers deny does not run.

    Raises:
        AssertionError: a condition does not hold.

    >>> claim(tighter=2 > 1)
    >>> claim(tighter=1 > 2)
    Traceback (most recent call last):
    AssertionError: tighter: the text claims it, and this run denies it
    """
    for name, holds in conditions.items():
        if not holds:
            raise AssertionError(f"{name}: the text claims it, and this run denies it")


class Text(str):
    """A string that is shown without quotation marks."""

    __repr__ = str.__str__


@contextmanager
def exercise(title: str) -> Iterator[None]:
    """Run the tests of an exercise, and say what they found instead of stopping the notebook.

    The reader's edition of a chapter has the tests of each exercise in here, so that it runs from
    the first cell to the last whether or not they are solved.

    >>> with exercise("Twice"):
    ...     assert 1 + 1 == 3, "2 and 2 are four"
    Twice: not yet: 2 and 2 are four
    >>> with exercise("Twice"):
    ...     assert 1 + 1 == 2
    Twice: passes these tests
    """
    try:
        yield
    except AssertionError as error:
        verdict = f"not yet: {error}"
    except NotImplementedError:
        verdict = "not solved yet"
    except Exception as error:  # whatever an answer does wrong, the notebook goes on
        verdict = f"{type(error).__name__}: {error}"
    else:
        verdict = "passes these tests"
    _verdicts[title] = verdict
    print(f"{title}: {verdict}")


def exercises() -> None:
    """Which exercises of this notebook pass, those whose tests have run.

    >>> _verdicts.clear()
    >>> with exercise("Twice"):
    ...     pass
    Twice: passes these tests
    >>> exercises()
    ✓ Twice
    1 of 1 pass their tests.
    """
    passed = [title for title, verdict in _verdicts.items() if verdict.startswith("passes")]
    for title, verdict in _verdicts.items():
        print(f"✓ {title}" if title in passed else f"· {title} ({verdict})")
    print(f"{len(passed)} of {len(_verdicts)} pass their tests.")
