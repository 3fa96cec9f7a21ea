"""Estimators for discrete q: enumeration, relaxation, and pretending."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as D

from ..checks import integer
from .draws import innermost, name_of, values_of
from .reductions import mean

MOST_OUTCOMES = 2**20  # what `support` and `exact` are willing to enumerate


def gumbel_softmax(
    f: Callable, q: D.Distribution, k: int, reduce: Callable = mean, temperature: float = 0.5
) -> Tensor:
    r"""The pathwise gradient of a relaxed (Concrete) q, whose draws lie between the outcomes.

    For logits a and Gumbel noise g, $z = \operatorname{softmax}((a + g) / \tau)$; as the
    temperature $\tau$ falls to zero, z becomes one-hot with the probabilities of q. Of a Bernoulli
    it is the same with two outcomes: $z = \sigma((a + g_1 - g_0) / \tau)$.

    **Neither the value nor the gradient is that of q**: both are of the relaxed expectation. A low
    temperature lowers the bias and raises the variance. f must be defined between the outcomes.

    Args:
        f, k, reduce: as in `pathwise`.
        q: Bernoulli or OneHotCategorical, or Independent of them.
        temperature: positive.

    Raises:
        ValueError: q is another distribution, or the temperature is not positive.

    Equation: eq-gumbel-max

    Source: Jang, Gu and Poole (2017), arXiv:1611.01144; Maddison, Mnih and Teh (2017),
    arXiv:1611.00712.

    >>> q = D.OneHotCategorical(logits=torch.zeros(5, 3))
    >>> z = []
    >>> gumbel_softmax(lambda draws: z.append(draws) or draws[..., 0], q, 2, temperature=1.0).shape
    torch.Size([5])
    >>> torch.allclose(z[0].sum(-1), torch.ones(2, 5)), bool((z[0] < 1).all())
    (True, True)
    """
    if not temperature > 0:
        raise ValueError(f"temperature: got {temperature}, expected a positive number")
    base = _relaxable(q, "gumbel_softmax")
    if isinstance(base, D.Bernoulli):
        noise = _gumbel(k, base.logits) - _gumbel(k, base.logits)  # (k, B, *event)
        z = ((base.logits + noise) / temperature).sigmoid()
    else:
        z = ((base.logits + _gumbel(k, base.logits)) / temperature).softmax(-1)
    z.relaxed = True  # for an f that has no meaning between the outcomes: see `between_outcomes`
    return reduce(values_of(f, z, q))


def _gumbel(k: int, logits: Tensor) -> Tensor:
    """Gumbel noise, minus the logarithm of an exponential variable: (k, *logits.shape)."""
    return -logits.new_empty(integer("k", k), *logits.shape).exponential_().log()


def straight_through(f: Callable, q: D.Distribution, k: int, reduce: Callable = mean) -> Tensor:
    r"""Draw z, but differentiate as if z were its mean: $\partial z / \partial p = 1$.

    The value is the plain Monte Carlo one, and so is the gradient with respect to parameters inside
    f. With respect to q's **the gradient is biased**: it has $\mathbb E[\partial f / \partial z_j]$
    where the truth for bits is $\mathbb E[f(z_j{=}1) - f(z_j{=}0)]$. The two agree if f is affine
    in each bit.

    Args:
        f, k, reduce: as in `pathwise`; f is differentiated at the outcomes.
        q: Bernoulli or OneHotCategorical, or Independent of them.

    Raises:
        ValueError: q is another distribution.

    Equation: eq-straight-through

    Source: Bengio, Léonard and Courville (2013), arXiv:1308.3432, section 4.

    >>> p = torch.tensor([0.1], requires_grad=True)
    >>> straight_through(lambda z: 3 * z, D.Bernoulli(p), k=4).sum().backward()
    >>> p.grad
    tensor([3.])
    """
    _relaxable(q, "straight_through")
    z = q.sample((integer("k", k),))  # (k, B, *event)
    z = z + (q.mean - q.mean.detach())  # adds exactly zero
    return reduce(values_of(f, z, q))


def pass_gradient(e: Tensor, z: Tensor) -> Tensor:
    r"""$z + \mathrm{sg}(e - z)$: the value of e, and the gradient that e gets is z's.

    It is the gradient of no loss: as a function of z, the loss of a rounded value is constant
    almost everywhere. `straight_through` does the same with the mean of a discrete distribution.

    Equation: def-pass-gradient, eq-flat-quantiser

    Source: Bengio, Léonard and Courville (2013), arXiv:1308.3432, section 4.

    >>> z = torch.tensor(0.7, requires_grad=True)
    >>> pass_gradient(z.round(), z).square().backward()  # the slope of e^2 at e = 1
    >>> z.grad
    tensor(2.)
    """
    return z + (e - z).detach()


def _relaxable(q: D.Distribution, estimator: str) -> D.Distribution:
    """The Bernoulli or OneHotCategorical inside q."""
    base = innermost(q)
    if not isinstance(base, D.Bernoulli | D.OneHotCategorical):
        raise ValueError(
            f"q: {estimator} cannot serve {name_of(q)}, it is for Bernoulli and OneHotCategorical "
            "(or Independent of them); pathwise serves continuous q, score_function any"
        )
    return base


def exact(f: Callable, q: D.Distribution, k: int, reduce: Callable = mean) -> Tensor:
    r"""The expectation itself, $\sum_{z_1} \cdots \sum_{z_k} \prod_i q(z_i) \, R$, by enumeration.

    Value and gradient are exact: the reference for the other estimators. With S outcomes the sum
    has S terms for `reduce=mean` (the mean of k draws has the expectation of one), else S^k.

    Args:
        f, k, reduce: as in `pathwise`; f is called once, with the S outcomes.
        q: a discrete distribution that `support` can enumerate.

    Raises:
        ValueError: q cannot be enumerated, or S^k is above a million.

    Equation: def-expectation, def-gradient-of-expectation

    >>> q = D.Independent(D.Bernoulli(torch.tensor([[0.5, 0.2]])), 1)
    >>> exact(lambda z: z.sum(-1), q, k=1)
    tensor([0.7000])
    """
    k = integer("k", k)
    z = support(q)  # (S, *event)
    batch, event = q.batch_shape, q.event_shape
    z = z.reshape(-1, *[1] * len(batch), *event).expand(-1, *batch, *event)  # (S, B, *event)
    values, log_q = values_of(f, z, q), q.log_prob(z)  # (S, B)
    # outcomes without mass add nothing, whatever f is there: -log q, in a bound, is infinite
    values = torch.where(log_q.exp() > 0, values, 0.0)
    if reduce is not mean and k > 1:
        tuples = _tuples(len(z), k, z.device)  # (S^k, k)
        values, log_q = values[tuples.T], log_q[tuples.T].sum(0)  # (k, S^k, B), (S^k, B)
    else:
        values = values[None]  # (1, S, B)
    return (log_q.exp() * reduce(values)).sum(0)


def support(q: D.Distribution) -> Tensor:
    """Every outcome of a discrete q, each once: (S, *event).

    Args:
        q: Bernoulli, OneHotCategorical, ..., or Independent of them: S is 2^m for m bits.

    Raises:
        ValueError: q is continuous, unbounded or has more than a million outcomes.

    >>> support(D.Independent(D.Bernoulli(torch.zeros(2)), 1))
    tensor([[0., 0.],
            [0., 1.],
            [1., 0.],
            [1., 1.]])
    """
    base = innermost(q)
    if not base.has_enumerate_support:
        raise ValueError(
            f"q: the outcomes of {name_of(q)} cannot be enumerated; expected a Bernoulli or "
            "OneHotCategorical, or Independent of them. pathwise serves continuous q, "
            "score_function any"
        )
    outcomes = base.enumerate_support(expand=False).reshape(-1, *base.event_shape)
    sites = math.prod(q.event_shape) // math.prod(base.event_shape)
    every = outcomes[_tuples(len(outcomes), sites, outcomes.device)]  # (S, sites, *base event)
    return every.reshape(-1, *q.event_shape)


def _tuples(n: int, k: int, device) -> Tensor:
    """All k-tuples of the numbers 0 to n - 1, in lexicographic order: (n^k, k)."""
    if n**k > MOST_OUTCOMES:
        raise ValueError(f"q, k: got {n}^{k} outcomes to enumerate, expected at most a million")
    digits = torch.arange(n**k, device=device)  # read as numbers of k digits in base n
    return torch.stack([digits // n**i % n for i in reversed(range(k))], -1)
