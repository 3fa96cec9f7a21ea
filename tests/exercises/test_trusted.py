"""What an answer cannot change by a line: the functions that tests compare with."""

import math

import pytest
import torch

from dgm.assignment import trusted
from dgm.assignment.grading import guarded

ALWAYS = {name: lambda self, *_, **__: True for name in ("__eq__", "__lt__", "all")}
Subclass = type("Subclass", (torch.Tensor,), {"__torch_function__": classmethod(lambda *_: True)})
Number = type("Number", (float,), ALWAYS)
Equal = type("Equal", (), ALWAYS | {"__module__": "__main__"})


def passes(answer, tests):
    """Whether tests pass after the answer, as the grader runs them."""
    namespace = {"__name__": "__main__", "torch": torch, "math": math}
    namespace |= {"Subclass": Subclass, "Number": Number, "Equal": Equal}
    with pytest.raises((AssertionError, TypeError)) as raised:
        exec(answer, namespace)
        exec(guarded(tests, "ran to its end"), namespace)
    trusted.restore({}, [])
    return str(raised.value) == "ran to its end"


CLOSE = "assert torch.allclose(f(), torch.tensor([4.0])), 'f'"
EXACT = "assert abs(f() - 4.0) < 1e-6, 'f'"


@pytest.mark.parametrize(
    ("answer", "tests"),
    [
        ("torch.allclose = lambda *_: True\nf = lambda: torch.tensor([3.0])", CLOSE),
        ("torch.Tensor.__sub__ = lambda a, b: a * 0\nf = lambda: torch.tensor(3.0)", EXACT),
        ("torch.Tensor.__lt__ = lambda *_: True\nf = lambda: torch.tensor(3.0)", EXACT),
        ("class torch:\n    allclose = tensor = lambda *_: True\nf = lambda: 3.0", CLOSE),
        ("abs = lambda _: 0\nf = lambda: 3.0", EXACT),
        ("math.isclose = lambda *_: True\nf = lambda: 3.0", "assert math.isclose(f(), 4.0), 'f'"),
        ("f = lambda: torch.tensor([3.0]).as_subclass(Subclass)", CLOSE),
        ("f = lambda: Number(3.0)", "assert f() == 4.0, 'f'"),
        ("f = lambda: (1, Number(3.0))", "assert f()[1] == 4.0, 'f'"),
        ("f = lambda: Equal()", "assert f() == 4.0, 'f'"),
    ],
)
def test_a_wrong_answer_fails(answer, tests):
    assert not passes(answer, tests)


@pytest.mark.parametrize(
    ("answer", "tests"),
    [
        ("f = lambda: torch.tensor([4.0])", CLOSE),
        ("f = lambda: torch.nn.Parameter(torch.tensor([4.0]))", CLOSE),
        ("f = lambda: 4", EXACT),
        ("f = lambda: {'a': [4.0]}", "assert f() == {'a': [4.0]}, 'f'"),
        ("f = lambda: torch.distributions.Normal(0.0, 4.0)", "assert f().stddev == 4, 'f'"),
        ("class f(torch.nn.Module):\n    forward = lambda self: 4.0", "assert f()() == 4.0, 'f'"),
        ("def f():\n    return max(3, 4)\nmax = 7", "assert max(f(), 3) == 4, 'f'"),
    ],
)
def test_a_right_answer_passes(answer, tests):
    assert passes(answer, tests)
