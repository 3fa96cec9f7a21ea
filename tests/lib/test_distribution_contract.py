"""The contract of torch.distributions, kept by all that a head, a prior or a model returns.

One table: each entry is a distribution with its batch shape and event shape and, if it is discrete,
all its outcomes, written out here. Models are float64 while torch's default is float32, so that a
draw in the default type is noticed.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cache, partial

import pytest
import torch
from tests.standard_error import standard_errors_off
from torch import Tensor
from torch import distributions as D

from dgm import heads, models
from dgm.estimators import innermost
from dgm.models.flows import InverseAutoregressive

B, IMAGE = 3, (1, 2, 2)
DRAWS = 4000


@dataclass
class Entry:
    q: D.Distribution
    batch: tuple[int, ...]
    event: tuple[int, ...]
    outcomes: Tensor | None = None  # (S, *event) of a discrete one

    @property
    def labels(self) -> bool:
        """Integers, which have no mean."""
        return type(self.q) is D.Categorical

    @property
    def cannot(self) -> tuple[str, ...]:
        """What has no closed form, or none that torch knows."""
        if isinstance(
            self.q,
            heads.Chain | heads.Flowed | heads.Tokens | heads.TopDown | D.TransformedDistribution,
        ):
            return "mean", "mode", "variance", "entropy"
        return ()


def grid(levels, *event):
    """All events of numbers 0, 1/(levels - 1), ..., 1."""
    values = [i / (levels - 1) for i in range(levels)]
    every = list(itertools.product(values, repeat=math.prod(event)))
    return torch.tensor(every, dtype=torch.float64).reshape(-1, *event)


def one_hots(n):
    return torch.eye(n, dtype=torch.float64)


def both(first, second):
    """Outcomes of two vectors, side by side."""
    return torch.stack([torch.cat(pair) for pair in itertools.product(first, second)])


choices = torch.stack([torch.stack(p) for p in itertools.product(one_hots(3), repeat=2)])


def features(n=4):
    return torch.randn(B, n, dtype=torch.float64)


def head(module, event, outcomes=None):
    return Entry(module.double()(features()), (B,), event, outcomes)


def prior(module, event, outcomes=None):
    return Entry(module.double()(), (), event, outcomes)


def chained(first, second, size, event, outcomes=None, reverse=False):
    return head(heads.Chained(first, second, size, reverse), event, outcomes)


def vae_part(part, *arguments, event, outcomes=None, likelihood=heads.Bernoulli):
    model = models.VAE.mlp(IMAGE, latent=2, hidden=(5,), likelihood=likelihood).double()
    q = getattr(model, part)(*arguments)
    return Entry(q, () if part == "prior" else (B,), event, outcomes)


def conditional_part(part, *arguments, event, outcomes=None, **more):
    model = models.ConditionalVAE.mlp(IMAGE, latent=2, hidden=(5,), classes=3, **more).double()
    return Entry(getattr(model, part)(*arguments, torch.arange(B)), (B,), event, outcomes)


def two_layers(part, *arguments, head=heads.DiagonalNormal, outcomes=None):
    model = models.VAE.two_layer(IMAGE, (3, 2), ((5,), (5,)), posterior=head).double()
    return Entry(getattr(model, part)(*arguments), (B,) if arguments else (), (5,), outcomes)


def mixture(part, shape=(3,), build=models.GaussianMixture, **more):
    model = build(shape, components=3, **more).double()
    if hasattr(model, "factor"):
        torch.nn.init.normal_(model.factor, std=0.5)
    if part == "prior":
        return Entry(model.prior(), (), (3,), one_hots(3))
    if part == "posterior":
        return Entry(model.posterior(binary(shape)), (B,), (3,), one_hots(3))
    outcomes = grid(2, *shape) if build is models.BernoulliMixture else None
    return Entry(model.likelihood(one_hots(3)), (3,), shape, outcomes)


def ppca(part, *arguments, shape=IMAGE, event):
    model = models.PPCA(shape, latent=2).double()
    return Entry(getattr(model, part)(*arguments), (B,) if arguments else (), event)


def flow(classes=0, **more):
    model = models.Flow.coupling(IMAGE, layers=2, hidden=4, classes=classes).double()
    y = torch.arange(B) if classes else None
    return Entry(model(y), (B,) if classes else (), IMAGE)


def dequantised(part, *arguments, batch=(B,), event=(4,), outcomes=None):
    flow = models.Flow.coupling(IMAGE, layers=2, hidden=4)
    model = models.Dequantised(flow, levels=2).double()
    return Entry(getattr(model, part)(*arguments), batch, event, outcomes)


def vqvae_part(part, *arguments, **more):
    model = models.VQVAE.mlp(IMAGE, quantiser=models.Codebook(3, 2), hidden=(5,), **more)
    return Entry(
        getattr(model.double(), part)(*arguments), (B,) if arguments else (), (2, 3), choices
    )


def ladder_part(part, *arguments):
    model = models.Ladder.mlp(IMAGE, latent=(2, 1, 3), hidden=(5,), features=5).double()
    return Entry(getattr(model, part)(*arguments), (B,) if arguments else (), (6,))


def masked_conditionals():
    model, x = models.MaskedDiffusion.mlp(IMAGE, levels=3, hidden=(5,)).double(), binary(IMAGE)
    return Entry(model.conditionals(x, x > 0), (B, *IMAGE), (), grid(3))


def conditionals(levels):
    model = models.MADE(IMAGE, levels=levels, hidden=(5,)).double()
    return Entry(model.conditionals(binary(IMAGE)), (B, *IMAGE), (), grid(levels))


def binary(shape):
    return torch.rand(B, *shape, dtype=torch.float64).round()


def codes():
    return torch.randn(B, 2, dtype=torch.float64)


three_levels = partial(heads.Categorical, levels=3)
TABLE = {
    "StandardNormal": lambda: prior(heads.StandardNormal(3), (3,)),
    "UnitCube": lambda: prior(heads.UnitCube(3), (3,)),
    "FairCoins": lambda: prior(heads.FairCoins(3), (3,), grid(2, 3)),
    "UniformOneHot": lambda: prior(heads.UniformOneHot(3), (3,), one_hots(3)),
    "UniformOneHot, two": lambda: prior(heads.UniformOneHot((2, 3)), (2, 3), choices),
    "DiagonalNormal": lambda: head(heads.DiagonalNormal(4, 3), (3,)),
    "DiagonalNormal, a matrix": lambda: head(heads.DiagonalNormal(4, (2, 3)), (2, 3)),
    "FullNormal": lambda: head(heads.FullNormal(4, 3), (3,)),
    "Bernoulli": lambda: head(heads.Bernoulli(4, 3), (3,), grid(2, 3)),
    "Bernoulli image": lambda: head(heads.Bernoulli(4, IMAGE), IMAGE, grid(2, *IMAGE)),
    "OneHotCategorical": lambda: head(heads.OneHotCategorical(4, 3), (3,), one_hots(3)),
    "OneHotCategorical, two": lambda: head(heads.OneHotCategorical(4, (2, 3)), (2, 3), choices),
    "Normal": lambda: head(heads.Normal(4, IMAGE), IMAGE),
    "Normal, of a number": lambda: head(heads.Normal(4, 3, sigma=0.3), (3,)),
    "NormalPerPixel": lambda: head(heads.NormalPerPixel(4, IMAGE), IMAGE),
    "Categorical": lambda: head(three_levels(4, IMAGE), IMAGE, grid(3, *IMAGE)),
    "Categorical, of a number": lambda: head(three_levels(4, 3), (3,), grid(3, 3)),
    "OneHot": lambda: Entry(heads.OneHot(features()), (B,), (4,), one_hots(4)),
    "GreyLevels": lambda: Entry(heads.GreyLevels(features()), (B,), (), grid(4)),
    "Chain, normal": lambda: chained(
        heads.DiagonalNormal(4, 3), heads.FullNormal(3, 2), 2, (5,), reverse=True
    ),
    "Chain, one-hot then bits": lambda: chained(
        heads.OneHotCategorical(4, 3),
        heads.Bernoulli(3, 2),
        2,
        (5,),
        both(one_hots(3), grid(2, 2)),
    ),
    "Chain, one-hot then bits, reversed": lambda: chained(
        heads.OneHotCategorical(4, 3),
        heads.Bernoulli(3, 2),
        2,
        (5,),
        both(grid(2, 2), one_hots(3)),
        reverse=True,
    ),
    "Chain, normal then bits": lambda: chained(
        heads.DiagonalNormal(4, 2), heads.Bernoulli(2, 3), 3, (5,)
    ),
    "Chain, bits then normal": lambda: chained(
        heads.Bernoulli(4, 2), heads.DiagonalNormal(2, 3), 3, (5,), reverse=True
    ),
    "Chain of a chain": lambda: chained(
        heads.Chained(heads.Bernoulli(4, 2), heads.OneHotCategorical(2, 3), 3, reverse=True),
        heads.Bernoulli(5, 2),
        2,
        (7,),
        both(both(one_hots(3), grid(2, 2)), grid(2, 2)),
    ),
    "InverseAutoregressive": lambda: head(InverseAutoregressive(4, 3), (3,)),
    "Flow": flow,
    "Flow given y": lambda: flow(classes=B),
    "Dequantised prior": lambda: dequantised("prior", batch=()),
    "Dequantised posterior": lambda: dequantised("posterior", binary(IMAGE)),
    "Dequantised likelihood": lambda: dequantised(
        "likelihood",
        torch.rand(B, 4, dtype=torch.float64),
        event=IMAGE,
        outcomes=grid(2, *IMAGE),
    ),
    "VAE prior": lambda: vae_part("prior", event=(2,)),
    "VAE posterior": lambda: vae_part("posterior", binary(IMAGE), event=(2,)),
    "VAE likelihood": lambda: vae_part(
        "likelihood", codes(), event=IMAGE, likelihood=three_levels, outcomes=grid(3, *IMAGE)
    ),
    "VAE prior, two layers": lambda: two_layers("prior"),
    "VAE posterior, two layers": lambda: two_layers("posterior", binary(IMAGE)),
    "VAE prior, two layers of bits": lambda: two_layers(
        "prior", head=heads.Bernoulli, outcomes=grid(2, 5)
    ),
    "Tokens": lambda: Entry(
        heads.Tokens(models.MADE(2, levels=3, hidden=(5,)).double()), (), (2, 3), choices
    ),
    "VQVAE posterior": lambda: vqvae_part("posterior", binary(IMAGE)),
    "VQVAE posterior, a softmax": lambda: vqvae_part("posterior", binary(IMAGE), temperature=1.0),
    "VQVAE prior": lambda: vqvae_part("prior"),
    "Ladder prior": lambda: ladder_part("prior"),
    "Ladder posterior": lambda: ladder_part("posterior", binary(IMAGE)),
    "masked conditionals": masked_conditionals,
    "ConditionalVAE prior": lambda: conditional_part("prior", event=(2,)),
    "ConditionalVAE prior of bits": lambda: conditional_part(
        "prior", event=(2,), posterior=heads.OneHotCategorical, outcomes=one_hots(2)
    ),
    "ConditionalVAE posterior": lambda: conditional_part("posterior", binary(IMAGE), event=(2,)),
    "ConditionalVAE likelihood": lambda: conditional_part(
        "likelihood", codes(), event=IMAGE, outcomes=grid(2, *IMAGE)
    ),
    "M2 classify": lambda: Entry(
        models.M2.mlp(IMAGE, hidden=(5,), classes=4).double().classify(binary(IMAGE)),
        (B,),
        (),
        torch.arange(4),
    ),
    "M2 prior_y": lambda: Entry(
        models.M2.mlp(IMAGE, hidden=(5,), classes=4).double().prior_y(), (), (), torch.arange(4)
    ),
    "PCVAE classify": lambda: Entry(
        models.PCVAE.mlp(IMAGE, hidden=(5,), classes=4).double().classify(binary(IMAGE)),
        (B,),
        (),
        torch.arange(4),
    ),
    "mixture prior": lambda: mixture("prior"),
    "mixture posterior": lambda: mixture("posterior"),
    "mixture of full normals": lambda: mixture("likelihood"),
    "mixture of full normals, images": lambda: mixture("likelihood", IMAGE),
    "mixture of diagonal normals": lambda: mixture("likelihood", covariance="diagonal"),
    "mixture of spherical normals, images": lambda: mixture(
        "likelihood", IMAGE, covariance="spherical"
    ),
    "mixture of Bernoullis": lambda: mixture("likelihood", IMAGE, models.BernoulliMixture),
    "PPCA prior": lambda: ppca("prior", event=(2,)),
    "PPCA posterior": lambda: ppca("posterior", binary(IMAGE), event=(2,)),
    "PPCA likelihood": lambda: ppca("likelihood", codes(), event=IMAGE),
    "RBM hidden": lambda: Entry(
        models.RBM(IMAGE, hidden=3).double().hidden(binary(IMAGE)), (B,), (3,), grid(2, 3)
    ),
    "RBM visible": lambda: Entry(
        models.RBM(IMAGE, hidden=4).double().visible(features()), (B,), IMAGE, grid(2, *IMAGE)
    ),
    "conditionals of bits": lambda: conditionals(2),
    "conditionals of grey levels": lambda: conditionals(3),
    "Generator prior": lambda: Entry(
        models.Generator.mlp(IMAGE, latent=3, hidden=(5,)).double().prior(), (), (3,)
    ),
}
everything = pytest.mark.parametrize("name", TABLE)


@cache
def entry(name) -> Entry:
    torch.manual_seed(0)
    return TABLE[name]()


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(1)


def beside_batch(outcomes, e):
    """(S, *event) -> (S, *batch, *event)."""
    ones = [1] * len(e.batch)
    return outcomes.reshape(-1, *ones, *e.event).expand(-1, *e.batch, *e.event)


@everything
def test_shapes_and_types(name):
    e = entry(name)
    assert (e.q.batch_shape, e.q.event_shape) == (e.batch, e.event)
    assert e.q.sample().shape == (*e.batch, *e.event)
    for k in [(7,), (2, 3)]:
        z = e.q.sample(k)
        assert z.shape == (*k, *e.batch, *e.event)
        assert z.dtype == (torch.int64 if e.labels else torch.float64)
        assert not z.requires_grad
        log_p = e.q.log_prob(z)
        assert (log_p.shape, log_p.dtype) == ((*k, *e.batch), torch.float64)
    for what in {"mean", "mode", "variance"} - set(e.cannot):
        value = getattr(e.q, what)
        assert value.shape == (*e.batch, *e.event)
        assert value.dtype == (torch.int64 if e.labels and what == "mode" else torch.float64)


@everything
def test_a_distribution_expands_to_a_larger_batch(name):
    e = entry(name)
    larger = e.q.expand((2, *e.batch))
    assert (larger.batch_shape, larger.event_shape) == ((2, *e.batch), e.event)
    assert type(larger) is type(e.q)
    z = larger.sample((7,))
    assert z.shape == (7, 2, *e.batch, *e.event)
    assert larger.support.check(z).all()
    torch.testing.assert_close(larger.log_prob(z), e.q.log_prob(z))
    for what in {"mean", "mode", "variance"} - set(e.cannot):
        value = getattr(e.q, what).expand(2, *e.batch, *e.event)
        torch.testing.assert_close(getattr(larger, what), value, equal_nan=True)


@everything
def test_the_support_holds_the_draws_and_little_else(name):
    e = entry(name)
    z = e.q.sample((20,))
    inside = e.q.support.check(z)
    assert inside.shape == (20, *e.batch)
    assert inside.all()
    assert e.q.support.is_discrete == (e.outcomes is not None or "bits" in name)
    if e.outcomes is not None:
        assert e.q.support.check(beside_batch(e.outcomes, e)).all()
        assert not e.q.support.check(z + 0.2).any()
        assert not e.q.support.check(-1 - z).any()


@everything
def test_draws_are_differentiable_where_they_say_so(name):
    e = entry(name)
    if e.q.has_rsample:
        assert not e.q.support.is_discrete
        z = e.q.rsample((7,))
        assert z.shape == (7, *e.batch, *e.event)
        parameters_are_learned = e.q.log_prob(z.detach()).requires_grad
        assert z.requires_grad == parameters_are_learned
    else:
        with pytest.raises(NotImplementedError):
            e.q.rsample((7,))


def density(q, z, h=1e-4):
    """Of a continuous q, from its distribution function or covariance, not its `log_prob`."""
    base = innermost(q)
    if isinstance(base, D.Normal):
        slope = (base.cdf(z + h) - base.cdf(z - h)) / (2 * h)
        return slope.flatten(z.dim() - len(q.event_shape)).prod(-1)
    if isinstance(base, D.MultivariateNormal):
        d, covariance = z - base.mean, base.covariance_matrix
        square = (d[..., None, :] @ torch.linalg.inv(covariance) @ d[..., None]).squeeze((-1, -2))
        return (-0.5 * square).exp() / torch.linalg.det(2 * math.pi * covariance).sqrt()
    if isinstance(base, D.TransformedDistribution):  # vectors, seen as images
        return density(base.base_dist, z.flatten(-len(q.event_shape)))
    if isinstance(base, heads.Chain):
        a, b = z.split(base.sizes[::-1] if base.reverse else base.sizes, -1)
        a, b = (b, a) if base.reverse else (a, b)
        return density(base.first, a) * density(base.second(a), b)
    if isinstance(base, heads.TopDown):
        parts = zip(base.levels(z), z.split(base.sizes, -1), strict=True)
        return math.prod(density(level, part) for level, part in parts)
    return q.log_prob(z).exp()  # the discrete half of a chain, tested for itself


@everything
def test_log_prob_is_normalised(name):
    """Masses sum to one; a density is the slope of the distribution function."""
    e = entry(name)
    if e.outcomes is not None:
        total = e.q.log_prob(beside_batch(e.outcomes, e)).exp().sum(0)
        torch.testing.assert_close(total, torch.ones(e.batch, dtype=torch.float64))
    else:
        z = e.q.sample((20,))
        # central differences are off by h^2 / 6 times a second derivative: 1e-9 / sigma^2
        torch.testing.assert_close(e.q.log_prob(z).exp(), density(e.q, z), rtol=1e-5, atol=0)


@everything
def test_the_mode_is_the_most_probable(name):
    e = entry(name)
    if e.cannot:  # it says so: see below
        return
    if name == "FairCoins":  # every outcome is one: torch's Bernoulli then names none
        assert e.q.mode.isnan().all()
        return
    others = e.q.sample((50,)) if e.outcomes is None else beside_batch(e.outcomes, e)
    assert e.q.support.check(e.q.mode).all()
    assert (e.q.log_prob(e.q.mode) >= e.q.log_prob(others) - 1e-12).all()


@everything
def test_moments_and_entropy_are_those_of_the_draws(name):
    """Within five standard errors."""
    e = entry(name)
    with torch.no_grad():
        z = e.q.sample((DRAWS,))
        if e.labels:
            assert e.q.mean.isnan().all() and e.q.variance.isnan().all()
        elif not e.cannot:
            assert standard_errors_off(z, e.q.mean) < 5
            assert standard_errors_off((z - e.q.mean).square(), e.q.variance) < 5
        if not e.cannot:
            assert e.q.entropy().shape == e.batch
            assert standard_errors_off(-e.q.log_prob(z), e.q.entropy()) < 5
        if e.outcomes is not None:  # draws and masses agree
            outcomes = beside_batch(e.outcomes, e)[None]
            same = (z[:200, None] - outcomes).abs() < 1e-9
            hits = same.flatten(2 + len(e.batch)).all(-1) if e.event else same
            assert (hits.sum(1) == 1).all()


@everything
def test_what_a_distribution_cannot_do_it_says(name):
    e = entry(name)
    for what in e.cannot:
        with pytest.raises(NotImplementedError) as error:
            value = getattr(e.q, what)
            value() if callable(value) else value
        if isinstance(e.q, heads.Chain):
            assert str(error.value).startswith(f"{what}: a chain's has no closed form; ")
