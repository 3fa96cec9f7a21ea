"""Estimators for continuous q, which differentiate draws or take derivatives of its density."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as D

from ..checks import integer
from .draws import innermost, name_of, values_of
from .reductions import advantage, mean


def pathwise(f: Callable, q: D.Distribution, k: int, reduce: Callable = mean) -> Tensor:
    r"""The reparameterised gradient: $z = g_\phi(\epsilon)$ with noise of a fixed distribution, so

    $$\nabla_\phi \mathbb E_{q_\phi}[f(z)]
    = \mathbb E_\epsilon[\nabla_\phi f(g_\phi(\epsilon))].$$

    The value is the plain Monte Carlo one. The gradient is unbiased if f is continuous and
    differentiable almost everywhere; of a step function it is zero, whatever the truth.

    Args:
        f: (k, B, *event) -> (k, B), differentiable in z.
        q: batch shape (B,), with `rsample`: diagonal and full-covariance normals by an affine map;
            Gamma, Beta, Dirichlet implicitly, from the derivative of their distribution function.
        k: number of draws.
        reduce: `mean` or `logmeanexp`.

    Raises:
        ValueError: q has no `rsample` or is discrete.

    Equation: eq-pathwise, eq-implicit

    Source: Kingma and Welling (2014), arXiv:1312.6114, section 2.4; Rezende, Mohamed and Wierstra
    (2014), arXiv:1401.4082; Figurnov, Mohamed and Mnih (2018), arXiv:1805.08498, for implicit
    gradients.

    >>> phi = torch.tensor([0.0, 2.0], requires_grad=True)
    >>> estimate = pathwise(lambda z: 3 * z, D.Normal(phi, 1.0), k=5)
    >>> estimate.sum().backward()
    >>> phi.grad
    tensor([3., 3.])
    """
    if not q.has_rsample or q.support.is_discrete:
        raise ValueError(
            f"q: pathwise cannot serve {name_of(q)}, whose draws are no differentiable function of "
            "its parameters; score_function can, and for a Bernoulli or OneHotCategorical exact, "
            "gumbel_softmax (biased) and straight_through (biased)"
        )
    z = q.rsample((integer("k", k),))  # (k, B, *event)
    return reduce(values_of(f, z, q))


def measure_valued(f: Callable, q: D.Distribution, k: int, reduce: Callable = mean) -> Tensor:
    r"""The measure-valued (weak) derivative, for normal q: the difference of two expectations.

    The derivative of the density of $\mathcal N(\mu, \sigma^2)$ in $\mu$, and that in $\sigma$, is
    a difference of two densities times a constant. In one dimension

    $$\frac{\partial}{\partial \mu} \mathbb E[f(z)] = \frac{1}{\sigma \sqrt{2 \pi}}
    \big(\mathbb E[f(\mu + \sigma w)] - \mathbb E[f(\mu - \sigma w)]\big), \qquad
    \frac{\partial}{\partial \sigma} \mathbb E[f(z)] = \frac{1}{\sigma}
    \big(\mathbb E[f(\mu + \sigma s)] - \mathbb E[f(\mu + \sigma \epsilon)]\big),$$

    with w of density $w e^{-w^2/2}$ (Rayleigh), s of density $s^2 e^{-s^2/2} / \sqrt{2 \pi}$
    (double-sided Maxwell) and $\epsilon$ standard normal. In m dimensions each coordinate is
    replaced in turn: 4 m k more evaluations of f. The two sides share their noise: the same w, and
    $\epsilon = u s$ with u uniform on (0, 1), which is standard normal.

    The value is the plain Monte Carlo one, the gradient unbiased, and f need not be continuous.

    Args:
        f, k, reduce: as in `pathwise`; f is called with 4 m k draws at once.
        q: Normal, or Independent of it.

    Raises:
        ValueError: q is not Normal.

    Equation: eq-measure-valued

    Source: Mohamed et al. (2020), arXiv:1906.10652, section 6 and table 1.

    >>> mu = torch.tensor([1.0], requires_grad=True)
    >>> step = lambda z: (z > 0).float()
    >>> estimate = measure_valued(step, D.Normal(mu, 1.0), k=1000)
    >>> estimate.sum().backward()           # pathwise would have nothing to differentiate
    >>> bool((mu.grad - 0.2420).abs() < 0.05)       # the density of N(0, 1) at 1
    True
    """
    base = innermost(q)
    if not isinstance(base, D.Normal):
        raise ValueError(
            f"q: measure_valued cannot serve {name_of(q)}, it knows the weak derivatives of a "
            "Normal only; score_function can, and pathwise where q has rsample"
        )
    k = integer("k", k)
    z = q.sample((k,))  # (k, B, *event)
    values = values_of(f, z, q)  # (k, B)
    r = reduce(values)  # (B,)

    batch, event = q.batch_shape, q.event_shape
    mu, sigma = base.loc.reshape(*batch, -1), base.scale.reshape(*batch, -1)  # (B, m)
    m = mu.shape[-1]
    flat = z.reshape(k, *batch, m)  # (k, B, m)

    @torch.no_grad()
    def change(noise: Tensor) -> Tensor:
        """What R gains if coordinate j of draw i becomes mu + sigma noise, for each: (k, B, m)."""
        coordinate = torch.eye(m, dtype=torch.bool, device=z.device)
        coordinate = coordinate.reshape(m, *[1] * len(batch), m)
        points = torch.where(coordinate, (mu + sigma * noise)[:, None], flat[:, None])
        points = points.reshape(k * m, *batch, *event)  # (k m, B, *event)
        replaced = values_of(f, points, q).reshape(k, m, *batch)
        return -advantage(values[:, None], replaced, reduce).movedim(1, -1)

    w = torch.randn(2, *flat.shape, dtype=z.dtype, device=z.device).norm(dim=0)
    s = torch.randn(3, *flat.shape, dtype=z.dtype, device=z.device).norm(dim=0)
    s = torch.where(torch.rand_like(s) < 0.5, s, -s)
    eps = torch.rand_like(s) * s
    d_mu = (change(w) - change(-w)).sum(0) / (sigma.detach() * math.sqrt(2 * math.pi))  # (B, m)
    d_sigma = (change(s) - change(eps)).sum(0) / sigma.detach()
    surrogate = (d_mu * mu + d_sigma * sigma).sum(-1)  # (B,)
    return r + (surrogate - surrogate.detach())
