"""Numbers in the prose of a notebook come from its run."""

from contextlib import suppress


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


class Text(str):
    """A string that is shown without quotation marks."""

    __repr__ = str.__str__
