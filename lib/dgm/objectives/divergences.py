"""The Kullback-Leibler divergence in closed form."""

import torch
from torch import Tensor
from torch import distributions as D
from torch.nn import functional as F

from ..estimators import innermost
from ..heads import TopDown


def kl(q: D.Distribution, p: D.Distribution) -> Tensor:
    r"""The Kullback-Leibler divergence in closed form, in nats:

    $$\operatorname{KL}(q \,\Vert\, p) = \mathbb E_{z \sim q}[\log q(z) - \log p(z)].$$

    For two Normals, two Bernoullis, two OneHotCategoricals (each maybe inside `Independent`), a
    MultivariateNormal q against a Normal p, and every pair of which torch has a closed form. A
    distribution of your own brings one by `torch.distributions.register_kl`, and all objectives
    use it. The pairs named here are written out for the digits that torch's formulas lose, and
    because the look-up in torch's table cannot be compiled when a pair occurs for the first time.

    Shapes: batch shapes that broadcast, to (B,).

    Raises:
        ValueError: other pairs, distributions over different codes, or a registered function that
            does not return (B,).

    Equation: def-kl, eq-gaussian-kl, eq-vae-kl

    Source: Kingma and Welling (2014), arXiv:1312.6114, appendix B.

    >>> import torch
    >>> q = D.Independent(D.Normal(torch.tensor([[1.0, 0.0]]), 1.0), 1)
    >>> p = D.Independent(D.Normal(torch.zeros(2), 1.0), 1)
    >>> kl(q, p)
    tensor([0.5000])
    """
    divergence = closed_form_kl(q, p)
    if divergence is None:
        names = [type(innermost(d)).__name__ for d in (q, p)]
        raise ValueError(
            f"q, p: no closed form for a {names[0]} against a {names[1]}; estimate it as the mean "
            "of q.log_prob(z) - p.log_prob(z) over draws z of q"
        )
    return divergence


def kl_per_coordinate(q: D.Distribution, p: D.Distribution) -> Tensor:
    r"""$\operatorname{KL}(q(z_j) \,\Vert\, p(z_j))$, whose sum over j is `kl(q, p)`, in nats.

    For the pairs of `kl` with independent coordinates: those of distributions of single numbers,
    such as Normals and Bernoullis, and OneHotCategoricals, of which one vector is one coordinate.

    Shapes: batch shapes that broadcast, to (B, coordinates).

    Raises:
        ValueError: other pairs, a MultivariateNormal among them, whose coordinates depend on each
            other; or distributions over different codes.

    >>> import torch
    >>> q = D.Independent(D.Normal(torch.tensor([[1.0, 0.0]]), 1.0), 1)
    >>> p = D.Independent(D.Normal(torch.zeros(2), 1.0), 1)
    >>> kl_per_coordinate(q, p)
    tensor([[0.5000, 0.0000]])
    """
    terms = _terms(q, p)
    if terms is None:
        names = [type(innermost(d)).__name__ for d in (q, p)]
        raise ValueError(
            f"q, p: the KL divergence of a {names[0]} from a {names[1]} is no sum over "
            "coordinates; expected a DiagonalNormal, Bernoulli or OneHotCategorical posterior, "
            "and a prior of its kind"
        )
    return terms


def closed_form_kl(q: D.Distribution, p: D.Distribution) -> Tensor | None:
    """KL(q || p), or None where there is no closed form: (B,)."""
    a, b = innermost(q), innermost(p)
    terms = _terms(q, p)  # (B, coordinates)
    if terms is not None:
        return terms.sum(-1)
    if isinstance(a, D.MultivariateNormal) and isinstance(b, D.Normal):
        return _kl_full_normal(a, b)
    return _registered(q, p)


def level_divergences(q: TopDown, p: TopDown, z: Tensor) -> Tensor:
    r"""KL(q(z_l | z_<l) || p(z_l | z_<l)) at the levels above in z: (k, B, latent) -> (L, k, B).

    Their sum has the expectation KL(q || p) over draws z of q, by the chain rule, and a smaller
    variance than log q(z) - log p(z).

    Raises:
        ValueError: the levels are of different sizes, or have no closed form.
    """
    if q.sizes != p.sizes:
        raise ValueError(f"q, p: got levels of sizes {q.sizes} and {p.sizes}, expected the same")
    pairs = zip(q.levels(z), p.levels(z), strict=True)
    return torch.stack([kl(a, b).expand(z.shape[:-1]) for a, b in pairs])


def _terms(q: D.Distribution, p: D.Distribution) -> Tensor | None:
    """The KLs of independent coordinates, or None: (B, coordinates)."""
    check_same_codes(q, p)
    a, b = innermost(q), innermost(p)
    if _both(a, b, D.Normal):
        terms = _kl_normal(a, b)
    elif _both(a, b, D.Bernoulli) or _both(a, b, D.OneHotCategorical):
        terms = _kl_of_outcomes(a, b)
    elif not a.event_shape and not b.event_shape:
        terms = _registered(a, b)
    else:
        terms = None
    if terms is None:
        return None
    dims = len(q.event_shape) - len(a.event_shape)  # of the independent coordinates
    return terms.flatten(-dims) if dims else terms[..., None]


def _registered(q: D.Distribution, p: D.Distribution) -> Tensor | None:
    """What torch's table has for the pair, a user's own included, or None: (B,)."""
    try:
        divergence = D.kl_divergence(q, p)
    except NotImplementedError:
        return None
    expected = torch.broadcast_shapes(q.batch_shape, p.batch_shape)
    if divergence.shape != expected:
        raise ValueError(
            f"register_kl: the function of a {type(q).__name__} and a {type(p).__name__} returned "
            f"shape {tuple(divergence.shape)}, expected {tuple(expected)}, their batch shape"
        )
    return divergence


def _both(q: D.Distribution, p: D.Distribution, kind: type) -> bool:
    return isinstance(q, kind) and isinstance(p, kind)


def _kl_normal(q: D.Normal, p: D.Normal) -> Tensor:
    """Per coordinate: (r^2 - 1 + (mu_q - mu_p)^2 / sigma_p^2) / 2 - log r, r = sigma_q / sigma_p.

    Not log r^2: the square of a small r is zero in float32.
    """
    r = q.scale / p.scale
    return 0.5 * (r.square() - 1 + ((q.loc - p.loc) / p.scale).square()) - r.log()


def _kl_full_normal(q: D.MultivariateNormal, p: D.Normal) -> Tensor:
    """Half of tr(P^-1 L L^T) - m + d^T P^-1 d + log |P| - log |L L^T|, P diagonal: (B,)."""
    factor = q.scale_tril / p.scale[..., None]  # (B, m, m), the Cholesky factor in units of p
    shift = (q.loc - p.loc) / p.scale  # (B, m)
    log_diagonal = factor.diagonal(dim1=-2, dim2=-1).log()
    per_coordinate = factor.square().sum(-1) - 1 + shift.square() - 2 * log_diagonal
    return 0.5 * per_coordinate.sum(-1)


def _kl_of_outcomes(q: D.Distribution, p: D.Distribution) -> Tensor:
    """Per bit or one-hot vector: the sum over outcomes of q (log q - log p), with 0 log 0 = 0."""
    log_q, log_p = _log_probabilities(q), _log_probabilities(p)  # (B, outcomes)
    mass = log_q.exp()
    return (mass * torch.where(mass > 0, log_q - log_p, 0.0)).sum(-1)


def _log_probabilities(p: D.Bernoulli | D.OneHotCategorical) -> Tensor:
    """Of every outcome of a bit or a one-hot vector: (B, outcomes).

    torch's `logits` of a categorical are normalised. Those of *given* probabilities it rounds up to
    log 1e-7, which would hide that an outcome is impossible.
    """
    bit = isinstance(p, D.Bernoulli)
    if p._param is not p.probs:
        return F.logsigmoid(torch.stack([-p.logits, p.logits], -1)) if bit else p.logits
    probs = torch.stack([1 - p.probs, p.probs], -1) if bit else p.probs
    possible = probs > 0
    return torch.where(possible, probs, 1.0).log().where(possible, -torch.inf)


def check_same_codes(q: D.Distribution, p: D.Distribution) -> None:
    """A density and a mass, or codes of two sizes, cannot be compared."""
    if q.event_shape != p.event_shape or _kind_of_codes(q) != _kind_of_codes(p):
        got = [f"{type(innermost(d)).__name__}, event shape {tuple(d.event_shape)}" for d in (q, p)]
        raise ValueError(
            f"q, p: got {got[0]}, and {got[1]}; expected distributions of the same codes"
        )


def _kind_of_codes(q: D.Distribution) -> tuple[bool, bool]:
    """Discrete or not; one-hot or not, which bits need not be."""
    support = innermost(q).support
    base = getattr(support, "base_constraint", support)  # of one vector, where there are several
    return support.is_discrete, base is D.constraints.one_hot
