"""One table: every model with every posterior and every objective it can have.

Each combination trains a step, differentiates on `meta`, samples, and survives a checkpoint.
"""

from functools import partial
from inspect import signature

import pytest
import torch

from dgm import estimators, heads, models
from dgm.checks import check_data
from dgm.estimators import (
    exact,
    gumbel_softmax,
    innermost,
    measure_valued,
    pathwise,
    score_function,
    straight_through,
)
from dgm.objectives import dreg, elbo, fisher, free_bits, iwae
from dgm.protocols import given
from dgm.train import History, gradient_step, linear_warmup, load_checkpoint, save_checkpoint

SHAPE = (1, 8, 8)
leave_one_out = partial(score_function, baseline="leave-one-out")

MODELS = {
    "mlp": partial(models.VAE.mlp, SHAPE, hidden=(6, 5)),
    "linear": partial(models.VAE.linear, SHAPE),
    "conv": partial(models.VAE.conv, SHAPE, width=2),
    "two layers": partial(models.VAE.two_layer, SHAPE, hidden=((6,), (5,))),
    "conditional mlp": partial(models.ConditionalVAE.mlp, SHAPE, hidden=(6,)),
    "conditional conv": partial(models.ConditionalVAE.conv, SHAPE, width=2),
}
LIKELIHOODS = {
    "Bernoulli": heads.Bernoulli,
    "Categorical": partial(heads.Categorical, levels=5),
    "Normal": heads.Normal,
    "fixed sigma": partial(heads.Normal, sigma=0.5),
    "NormalPerPixel": heads.NormalPerPixel,
}
POSTERIORS = {  # a head, a size of code, the estimators that serve it
    "DiagonalNormal": (heads.DiagonalNormal, 2, [pathwise, score_function, measure_valued]),
    "FullNormal": (heads.FullNormal, 2, [pathwise, score_function]),
    "Bernoulli": (heads.Bernoulli, 3, [leave_one_out, straight_through, exact, gumbel_softmax]),
    "OneHotCategorical": (
        heads.OneHotCategorical,
        3,
        [leave_one_out, straight_through, exact, gumbel_softmax],
    ),
}


def takes(f, *arguments):
    return callable(f) and (*signature(f).parameters,)[: len(arguments)] == arguments


def build(model, posterior, likelihood):
    head, latent, _ = POSTERIORS[posterior]
    latent = (latent, 2) if model == "two layers" else latent
    network = MODELS[model](latent=latent, posterior=head, likelihood=LIKELIHOODS[likelihood])
    if model == "conditional conv":
        network.p_z = head(network.classes, latent)  # a prior of its own for each label, learned
    return network


def objectives(model, posterior, likelihood):
    """All that this combination can be trained with: the others are refused, see below."""
    chain, normal = model == "two layers", likelihood not in ("Bernoulli", "Categorical")
    continuous = posterior in ("DiagonalNormal", "FullNormal")
    for estimator in POSTERIORS[posterior][2]:
        if chain and estimator in (measure_valued, straight_through, exact, gumbel_softmax):
            continue  # they know single distributions only
        k = 1 if estimator is exact else 2
        yield partial(elbo, k=k, estimator=estimator)
        if posterior != "FullNormal" and not chain:
            yield partial(free_bits, k=k, free=1e-6, estimator=estimator)
        if estimator is not gumbel_softmax:
            yield partial(elbo, k=k, estimator=estimator, analytic_kl=False)
            yield partial(iwae, k=k, estimator=estimator)
    if continuous:
        yield partial(dreg, k=2)
    if continuous and normal:
        yield partial(fisher, k=2)


def check_parts(model, x, y, posterior):
    """The three distributions: their shapes; prior and posterior are over the same codes."""
    condition = given(model, y)
    q, p = model.posterior(x, **condition), model.prior(**condition)
    latent = POSTERIORS[posterior][1]
    latent = (latent + 2,) if isinstance(innermost(q), heads.Chain) else (latent,)
    assert (q.batch_shape, q.event_shape) == (x.shape[:1], latent)
    assert (p.batch_shape, p.event_shape) == (x.shape[:1] if condition else (), latent)
    assert p.support.check(q.sample()).all()
    assert model.likelihood(q.sample((5,)), **condition).log_prob(x).shape == (5, len(x))


def draw(model, n, device="cpu"):
    """n images from the model itself, with labels: data on the support of any likelihood."""
    y = torch.arange(n, device=device) % 10
    x = model.sample(n, y=y) if model.classes else model.sample(n)
    return x, y


@pytest.fixture(autouse=True)
def cpu(monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    torch.manual_seed(0)


COMBINATIONS = [(model, posterior, "Normal") for model in MODELS for posterior in POSTERIORS]
COMBINATIONS += [
    (model, "DiagonalNormal", likelihood)
    for model in ("mlp", "conditional conv")
    for likelihood in LIKELIHOODS
    if likelihood != "Normal"
]


@pytest.mark.parametrize(("model", "posterior", "likelihood"), COMBINATIONS)
def test_every_combination(tmp_path, model, posterior, likelihood):
    names = model, posterior, likelihood
    network = build(*names)
    x, y = draw(network, 4)
    assert x.shape == (4, *SHAPE)
    check_data(network, x, y)
    check_parts(network, x, y, posterior)
    on_meta = build(*names).to("meta")
    x_meta, y_meta = draw(on_meta, 4, "meta")
    double = build(*names).double()
    x_double, _ = draw(double, 4)
    for objective in objectives(*names):
        schedule = {"beta": partial(linear_warmup, steps=3)} if objective.func is elbo else {}
        step = gradient_step(network, objective, schedules=schedule)
        step.check((x, y))
        before = [p.detach().clone() for p in network.parameters()]
        step((x, y))
        metrics = step((x, y))
        assert metrics["objective"].isfinite()
        after = list(network.parameters())
        assert all((p != q).any() for p, q in zip(after, before, strict=True) if p.numel() > 1)

        assert objective(double, x_double, y).dtype == torch.float64
        on_meta.zero_grad(set_to_none=True)
        value = objective(on_meta, x_meta, y_meta)
        assert value.shape == (4,)
        value.sum().backward()
        assert all(p.grad is not None for p in on_meta.parameters())

    save_checkpoint(tmp_path / "run.pt", step, History())
    other = gradient_step(build(*names), objective, schedules=schedule)
    load_checkpoint(tmp_path / "run.pt", other)
    assert other.t == 2
    results = []
    for s in (step, other):
        torch.manual_seed(3)
        results.append((s((x, y))["objective"], draw(s.model, 2)[0]))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


def test_every_estimator_stands_in_the_table():
    """It serves some posterior; those with options stand there with some."""
    expected = {n for n in estimators.__all__ if takes(getattr(estimators, n), "f", "q", "k")}
    served = {getattr(e, "func", e).__name__ for *_, some in POSTERIORS.values() for e in some}
    missing = expected - served
    assert not missing, f"POSTERIORS: no posterior is served by {', '.join(sorted(missing))}"


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_what_the_table_leaves_out_is_refused(posterior):
    """No silent nonsense: an objective that a model cannot have says so."""
    x = torch.ones(4, *SHAPE)
    discrete = posterior not in ("DiagonalNormal", "FullNormal")
    model = build("mlp", posterior, "Bernoulli")
    refused = [fisher] + ([dreg, partial(elbo, estimator=pathwise)] if discrete else [])
    if posterior == "FullNormal":
        refused += [free_bits, partial(elbo, estimator=measure_valued)]
    for objective in refused:
        with pytest.raises(ValueError, match="model: |q: |q, p: "):
            objective(model, x)
    chain = build("two layers", posterior, "Normal")
    for estimator in (measure_valued, exact, straight_through):
        with pytest.raises(ValueError, match="a Chain|cannot serve|cannot be enumerated"):
            elbo(chain, x, estimator=estimator)
