"""Checks: what the library asks of sizes, data and labels, in one place.

`check_event` and `check_examples` compare shapes and types, which costs nothing: every objective
and every evaluation calls one of them, because a tensor of another shape may broadcast to a number
that means nothing. `check_data` looks at every value as well: `dgm.train.fit` asks it of the first
batch, an evaluation of a likelihood of all it is given.

Every model has an event shape, `shape`, and a set on which its data lie, `support`, one of
`torch.distributions.constraints`. The rule for numbers is the same for all models: x is a tensor
of the model's own floating-point type, or of integers where the model says so (tokens).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from numbers import Integral, Real

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from .protocols import LatentVariable, SemiSupervised, classes_of, given

__all__ = [
    "check_data",
    "check_event",
    "check_examples",
    "check_labels",
    "check_shape",
    "event_shape",
    "examples",
    "integer",
    "one_each",
    "positive",
    "sizes",
]

# ------------------------------------------------------------------ sizes


def integer(argument: str, value, at_least: int = 1) -> int:
    """The value as a Python integer; NumPy's integers are integers, True and 2.0 are not.

    Raises:
        ValueError: it is no integer, or less than `at_least`.

    >>> import numpy as np
    >>> integer("latent", np.int64(2))
    2
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < at_least:
        raise ValueError(f"{argument}: got {value!r}, expected an integer of at least {at_least}")
    return int(value)


def positive(argument: str, value) -> float:
    """The value as a Python float: a step, a standard deviation, a radius.

    Raises:
        ValueError: it is no real number, or is not above zero, or not finite.

    >>> positive("sigma", 0)
    Traceback (most recent call last):
    ValueError: sigma: got 0, expected a positive number
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 < value < float("inf"):
        raise ValueError(f"{argument}: got {value!r}, expected a positive number")
    return float(value)


def sizes(argument: str, value) -> tuple[int, ...]:
    """A shape, or widths of layers, as a tuple of positive integers. One integer will do for (n,).

    Raises:
        ValueError: it is neither an integer nor a sequence of them, or one is not positive.

    >>> sizes("hidden", 400), sizes("shape", [1, 8, 8]), sizes("hidden", ())
    ((400,), (1, 8, 8), ())
    """
    if isinstance(value, Integral):
        return (integer(argument, value),)
    try:
        parts = tuple(value)
    except TypeError:
        raise ValueError(f"{argument}: got {value!r}, expected integers") from None
    if not all(isinstance(n, Integral) and not isinstance(n, bool) and n > 0 for n in parts):
        raise ValueError(f"{argument}: got {value!r}, expected positive integers")
    return tuple(int(n) for n in parts)


def event_shape(shape, argument: str = "shape") -> tuple[int, ...]:
    """The shape of an event as a tuple, of one size at least; the integer n means (n,).

    Raises:
        ValueError: as `sizes`, or there is no size.

    >>> event_shape(2), event_shape([1, 8, 8])
    ((2,), (1, 8, 8))
    """
    parts = sizes(argument, shape)
    if not parts:
        raise ValueError(f"{argument}: got {shape!r}, expected at least one size")
    return parts


def image_shape(shape) -> tuple[int, int, int]:
    """The shape of an image as a tuple.

    Raises:
        ValueError: it is not (channels, height, width): points have no neighbouring pixels.

    >>> image_shape((2,))
    Traceback (most recent call last):
    ValueError: shape: got (2,), expected (channels, height, width)
    """
    parts = event_shape(shape)
    if len(parts) != 3:
        raise ValueError(f"shape: got {parts}, expected (channels, height, width)")
    return parts


# ------------------------------------------------------------------ data


def check_event(model, x: Tensor, y: Tensor | None = None) -> None:
    """Raise ValueError unless x is (..., *event) of this model's type, with labels y (...).

    Nothing is read, so that no step waits for a device. What a model does not say of itself (a
    `torch.distributions` object has no `shape`) is not asked of x.
    """
    _check_type(model, x)
    shape = _shape_of(model)
    if shape is not None:
        check_shape(x, shape)
        if y is not None and classes_of(model):  # else it is not for this model
            check_integers(y, x.shape[: x.dim() - len(shape)])


def check_examples(model, x: Tensor, y: Tensor | None = None, at_least: int = 1) -> None:
    """As `check_event`, of x (N, *event) and y, one label each, with N of at least so many."""
    check_event(model, x, y)
    shape = _shape_of(model)
    if x.dim() == 0 or (shape is not None and x.dim() != len(shape) + 1):
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected {_written('N', shape)}")
    if len(x) < at_least:
        raise ValueError(f"x: got {len(x)} examples, expected at least {at_least}")
    if y is not None and (not isinstance(y, Tensor) or y.shape[:1] != x.shape[:1]):
        got = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
        raise ValueError(f"y: got {got}, expected a tensor of {len(x)}, one for each example")


def check_shape(x: Tensor, shape: Sequence[int], argument: str = "x") -> None:
    """Raise ValueError unless x is a tensor of shape (..., *shape).

    >>> check_shape(torch.zeros(5, 8, 8, 1), (1, 8, 8))
    Traceback (most recent call last):
    ValueError: x: got shape (5, 8, 8, 1), expected (..., 1, 8, 8)
    """
    if x.shape[max(x.dim() - len(shape), 0) :] != tuple(shape):
        got = tuple(x.shape)
        raise ValueError(f"{argument}: got shape {got}, expected {_written('...', shape)}")


def check_data(model, x: Tensor, y: Tensor | None = None) -> None:
    """Raise ValueError unless x, (N, *event), and y, (N,), can be data of this model.

    They cannot if they lie on another device, if x has another event shape or no examples, holds
    values that are not finite, or some that lie outside the model's support: heads skip that check
    for speed, and a likelihood off its support is a number without a meaning, for example a
    Bernoulli's at a grey pixel. Of a model with classes, y are integers from 0 to `classes` - 1.
    Only a model that predicts labels, a `protocols.SemiSupervised` one, can do without some of
    them, y = -1.

    >>> from dgm.models import VAE
    >>> check_data(VAE.mlp((1, 8, 8)), torch.full((5, 1, 8, 8), 0.5))
    Traceback (most recent call last):
    ValueError: x: got values outside the support ... of the model; for a Bernoulli ...
    """
    check_examples(model, x, y)
    check_device(model, x)
    shape, support = described(model, x)
    if shape is not None and x.shape[1:] != shape:
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected {_written('N', shape)}")
    check_finite("x", x)
    unlabelled = isinstance(model, SemiSupervised)
    if unlabelled:
        classes = model.predicted_classes
    else:
        given(model, y)  # raises if labels are missing
        classes = classes_of(model)
    if classes and y is not None:
        check_integers(y, x.shape[:1])
        check_range(y, classes, unlabelled)
    if support is not None and not support.check(x).all():
        raise ValueError(
            f"x: got values outside the support ({support}) of the model; for a Bernoulli "
            'likelihood use batches(..., binarize="dynamic"), for grey levels use the data set\'s'
        )


def check_device(model, x: Tensor) -> None:
    """Raise ValueError if x lies on another device than the model's parameters."""
    if isinstance(model, nn.Module):
        place = next((p.device for p in model.parameters()), x.device)
        if x.device != place:
            raise ValueError(
                f"x: got a tensor on {x.device}, expected one on {place}, where the model is; "
                "model.to(dgm.device()) moves a model to where data sets are loaded"
            )


def check_finite(argument: str, x: Tensor) -> None:
    """Raise ValueError if some of the values are inf or nan."""
    if not x.isfinite().all():
        raise ValueError(f"{argument}: got values that are not finite")


def examples(batch) -> tuple[Tensor, ...]:
    """The batch, if it is `(x,)` or `(x, y)`, tensors of as many examples; None is no y.

    Raises:
        ValueError: it is not; a tensor alone would be taken for its first two examples.

    >>> examples(torch.zeros(2, 1, 8, 8))
    Traceback (most recent call last):
    ValueError: batches: got a Tensor, expected (x,) or (x, y), tensors of N >= 1 examples
    """
    parts = tuple(batch) if isinstance(batch, tuple | list) else ()
    if len(parts) == 2 and parts[1] is None:
        parts = parts[:1]
    tensors = all(isinstance(part, Tensor) and part.dim() for part in parts)
    if 1 <= len(parts) <= 2 and tensors and 0 < len(parts[0]) == len(parts[-1]):
        return parts
    got = f"a {type(batch).__name__}"
    if parts:
        each = (f"{type(p).__name__} {tuple(getattr(p, 'shape', ()))}" for p in parts)
        got = f"{got} of {', '.join(each)}"
    expected = "(x,) or (x, y), tensors of N >= 1 examples"
    raise ValueError(f"batches: got {got}, expected {expected}")


def one_each(values: Tensor, x: Tensor, who: str) -> Tensor:
    """The values, if they are (B,), one number per example; ValueError names `who` if not.

    >>> one_each(torch.zeros(3, 1), torch.zeros(3, 2), "objective")
    Traceback (most recent call last):
    ValueError: objective: returned shape (3, 1) for 3 examples, expected (3,), one number each
    """
    if values.shape != x.shape[:1]:
        raise ValueError(
            f"{who}: returned shape {tuple(values.shape)} for {len(x)} examples, "
            f"expected ({len(x)},), one number each"
        )
    return values


def readable(x: Tensor) -> bool:
    """Whether the values of x can be looked at without waiting for them.

    On an accelerator that would hold up every update; there, `fit` checks the first batch.
    """
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


# ------------------------------------------------------------------ labels


def check_labels(
    y: Tensor | None,
    classes: int,
    batch: Sequence[int] | None = None,
    unlabelled: bool = False,
) -> None:
    """Raise ValueError unless y are labels for a model of so many classes, one per example.

    They are integers of any type from 0 to classes - 1 and, where examples may be unlabelled, -1;
    for 0 classes there must be none. Values are looked at where nobody waits for them.

    Args:
        batch: the shape that y must have; None for any.

    >>> check_labels(torch.tensor([3, -1]), 10, (2,))
    Traceback (most recent call last):
    ValueError: y: got labels from -1 to 3, expected 0 to 9; -1 is an example without a label
    >>> check_labels(torch.tensor([3, -1]), 10, (2,), unlabelled=True)
    """
    if not classes:
        if y is not None:
            raise ValueError("y: got labels, expected None: the model was built without classes")
        return
    if y is None:
        lowest = -1 if unlabelled else 0
        raise ValueError(f"y: got None, expected labels from {lowest} to {classes - 1}")
    check_integers(y, batch)
    if readable(y):
        check_range(y, classes, unlabelled)


def check_integers(y: Tensor, batch: Sequence[int] | None = None) -> None:
    """Raise ValueError unless y is a tensor of integers, of this shape. Nothing is read."""
    if not isinstance(y, Tensor):
        raise ValueError(f"y: got a {type(y).__name__}, expected a tensor of integer labels")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"y: got labels of type {y.dtype}, expected integers")
    if batch is not None:
        check_label_shape(y.shape, batch)


def check_label_shape(shape: Sequence[int], batch: Sequence[int]) -> None:
    """Raise ValueError unless labels of this shape are one for each example of the batch."""
    if tuple(shape) != tuple(batch):
        raise ValueError(
            f"y: got shape {tuple(shape)}, expected {tuple(batch)}, one label per example"
        )


def check_range(y: Tensor, classes: int, unlabelled: bool = False) -> None:
    """Raise ValueError unless y are integers from 0, or -1 if unlabelled, to classes - 1."""
    if y.numel() == 0:
        return
    least, most = (int(end) for end in y.aminmax())  # uint8 cannot be compared with -1
    lowest = -1 if unlabelled else 0
    if least < lowest or most >= classes:
        hint = "; -1 is an example without a label" if least == -1 < lowest else ""
        raise ValueError(
            f"y: got labels from {least} to {most}, expected {lowest} to {classes - 1}{hint}"
        )


# ------------------------------------------------------------------ what a model is


def described(model, x: Tensor) -> tuple[tuple[int, ...] | None, Constraint | None]:
    """A model's event shape and support; None for what it neither says nor shows.

    Codes to look at it with are made of its parameters' type, or where it has none of that of x.
    """
    shape, support = _shape_of(model), _support_of(model)
    if isinstance(model, LatentVariable) and (shape is None or support is None):
        p = example_likelihood(model, x)
        shape = tuple(p.event_shape) if shape is None else shape
        support = p.support if support is None else support
    return shape, support


def support_of_decoder(model: LatentVariable) -> Constraint:
    """The support of p(x | z), once the decoder makes events of the model's shape.

    Raises:
        ValueError: it makes others. Data would be broadcast against them.
    """
    p = example_likelihood(model)
    if tuple(p.event_shape) != model.shape:
        raise ValueError(
            f"decoder: makes events of shape {tuple(p.event_shape)}, expected {model.shape}, "
            "the model's (one distribution per image, not per pixel: torch's Independent)"
        )
    return p.support


@torch.no_grad()
def example_likelihood(model: LatentVariable, x: Tensor | None = None) -> Distribution:
    """p(x | z) at a draw of the prior and, of a model with classes, the label 0.

    It shows what a decoder's events are: their shape and their support. Looking draws no number
    that anybody else would have drawn, and moves no statistics of a normalisation.
    """
    like = _like(model, torch.empty(0) if x is None else x)
    condition = given(model, torch.zeros(1, dtype=torch.long, device=like.device))
    devices = [like.device] if like.device.type == "cuda" else []
    with evaluating(model), torch.random.fork_rng(devices):
        return model.likelihood(model.prior(**condition).sample((1,)), **condition)


@contextmanager
def evaluating(model) -> Iterator[None]:
    """All modules of a model in evaluation mode; afterwards each is in the mode it was in."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def _shape_of(model) -> tuple[int, ...] | None:
    """What a model calls its shape, if that is one; a user's own may use the word for more."""
    shape = model.event_shape if isinstance(model, Distribution) else getattr(model, "shape", None)
    if isinstance(shape, Integral):
        return (int(shape),)
    return tuple(shape) if isinstance(shape, tuple | list) else None


def _support_of(model) -> Constraint | None:
    """Likewise. torch's distributions see to it themselves, with -inf or an error."""
    support = None if isinstance(model, Distribution) else getattr(model, "support", None)
    return support if isinstance(support, Constraint) else None


def _written(first: str, shape: Sequence[int] | None) -> str:
    """(N, 1, 8, 8), as messages have it."""
    sizes = ["*event"] if shape is None else shape
    return f"({first}, {', '.join(map(str, sizes))})" if sizes else f"({first},)"


def _like(model, default: Tensor) -> Tensor:
    """A floating-point tensor of the model's type, on its device; the default if it has none."""
    tensors = chain(model.parameters(), model.buffers()) if isinstance(model, nn.Module) else ()
    return next((t for t in tensors if t.is_floating_point()), default)


def _check_type(model, x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise ValueError(
            f"x: got a {type(x).__name__}, expected a tensor: torch.as_tensor(x, dtype=...)"
        )
    dtype = _like(model, x).dtype
    if x.is_floating_point() and x.dtype != dtype:
        raise ValueError(
            f"x: got {x.dtype}, expected {dtype}, the model's: convert one, "
            "for example by x.float() or model.double()"
        )
