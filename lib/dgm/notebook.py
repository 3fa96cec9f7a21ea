"""Numbers in the prose of a notebook come from its run."""


def say(**values) -> None:
    """Hand computed values to the prose, where the role {eval}`name` shows them.

    The built page gets them through the cell's output (myst-nb's glue); in JupyterLab, where
    `{eval}` asks the kernel, they are variables. A value appears as `str(value)`, so that rounding
    is done here: `say(error=f"{error:.2f}")`.

    Raises:
        ValueError: the notebook already uses a name for something that reads differently.
    """
    from IPython import get_ipython
    from myst_nb import glue

    variables = get_ipython().user_ns
    for name, value in values.items():
        theirs = name in variables and not isinstance(variables[name], Text)
        if theirs and str(variables[name]) != str(value):
            raise ValueError(f"{name}: got {value}, but the notebook has another {name} already")
        if not theirs:
            variables[name] = Text(value)
        glue(name, Text(value), display=False)


class Text(str):
    """A string that is shown without quotation marks."""

    __repr__ = str.__str__
