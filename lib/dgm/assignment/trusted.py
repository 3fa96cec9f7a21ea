"""In the kernel that grades: tests compare with Python's and torch's own functions.

An answer may put another function in the place of `torch.allclose`, or return what is equal to
everything. The grader imports this module before any cell runs, which keeps what tests rely on, and
calls `restore` before each cell of tests. It is a guard against a line, not against a program: who
knows of it can undo it.
"""

import builtins
import math
from collections.abc import Iterable
from functools import wraps
from types import FunctionType

import torch
from torch import Tensor, nn

OWNERS = (builtins, math, torch, torch.linalg, torch.special, nn.functional, Tensor)
MODULES = {"math": math, "torch": torch}
KEPT = [
    # of modules, what is public: the rest may be their state
    (owner, {k: v for k, v in vars(owner).items() if owner is Tensor or not k.startswith("_")})
    for owner in OWNERS
]


def restore(namespace: dict, names: Iterable[str]) -> None:
    """Make the names that a cell of tests uses mean what they meant before the student's code.

    Args:
        namespace: the notebook's.
        names: builtins, modules and functions of the student's; these return plain values from now
            on.
    """
    for owner, kept in KEPT:
        for name, value in kept.items():
            if vars(owner).get(name) is not value:
                setattr(owner, name, value)
        for name, value in list(vars(owner).items()):
            if name not in kept and getattr(value, "__module__", None) == "__main__":
                delattr(owner, name)
    for name in names:
        value = namespace.get(name)
        if name in MODULES:
            namespace[name] = MODULES[name]
        elif hasattr(builtins, name):
            namespace.pop(name, None)
        elif isinstance(value, FunctionType) and value.__module__ == "__main__":
            namespace[name] = returning_plain(value)


def returning_plain(function: FunctionType) -> FunctionType:
    """The function, with `plain` applied to what it returns."""

    @wraps(function)
    def wrapped(*args, **kwargs):
        return plain(function(*args, **kwargs))

    return wrapped


def plain(value):
    """The value as one of Python's or torch's own types, whose comparisons can be trusted.

    Raises:
        TypeError: it is of a class of the notebook that says itself what it is equal to.

    >>> class Near(float):
    ...     __eq__ = __lt__ = lambda self, other: True
    >>> Near(3) == 4, plain(Near(3)) == 4
    (True, False)
    """
    if isinstance(value, Tensor):
        own = type(value) in (Tensor, nn.Parameter)
        return value if own else value.as_subclass(Tensor)
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if type(value) in (tuple, list):
        return type(value)(map(plain, value))
    if type(value) is dict:
        return {key: plain(part) for key, part in value.items()}
    kind = type(value)
    if kind.__module__ == "__main__" and kind.__eq__ is not object.__eq__:
        raise TypeError(f"got a {kind.__name__}, expected a number or a tensor to compare with")
    return value
