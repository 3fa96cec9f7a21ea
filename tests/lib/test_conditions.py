"""One convention for labels: `classes` and `y=`, the same for every model and all that ask it."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from tests.every_model import CLASSES, EVERY, SHAPE
from torch.distributions import Bernoulli, Independent

from dgm import data, evaluate, models, objectives, plots
from dgm.checks import check_data, check_labels
from dgm.models.autoregressive import Autoregressive
from dgm.protocols import LatentVariable, SemiSupervised, Tractable, given
from dgm.train import adversarial_step, fit, gradient_step

pytestmark = pytest.mark.usefixtures("cpu")

N, Y = 6, torch.tensor([3, 0, 9, 1, 1, 0])
WITH = {name: entry for name, entry in EVERY.items() if entry.build().classes}
WITHOUT = {name: entry for name, entry in EVERY.items() if name not in WITH}


def binary():
    return torch.rand(N, *SHAPE, generator=torch.Generator().manual_seed(0)).round()


def methods(model):
    """The methods of a model that take y, each as a function of y."""
    x = binary()
    if isinstance(model, models.ConditionalVAE | models.M2):
        yield "posterior", lambda y: model.posterior(x, y).mean
        yield "likelihood", lambda y: model.likelihood(torch.zeros(4, N, 2), y).mean
    if isinstance(model, models.Dequantised):
        yield "posterior", lambda y: model.posterior(x, y).mean
        yield "likelihood", lambda y: model.likelihood(torch.zeros(4, N, 25), y).mean
    if isinstance(model, Tractable):
        yield "log_prob", lambda y: model.log_prob(x, y)
    if isinstance(model, Autoregressive):
        yield "forward", lambda y: model(x, y)
        yield "conditionals", lambda y: model.conditionals(x, y).mean
        yield "incremental", lambda y: torch.stack(list(model.incremental(x.flatten(1), y)))
        yield "sample, naive", lambda y: model.sample(N, y, incremental=False)
    if isinstance(model, models.Generator):
        yield "forward", lambda y: model(torch.zeros(N, model.latent), y)
        yield "rsample", lambda y: model.rsample(N, y)
    if isinstance(model, models.Diffusion):
        for what in ("denoise", "score", "velocity"):
            yield what, lambda y, what=what: getattr(model, what)(x, 0.5, y)
    if isinstance(model, models.Critic):
        yield "forward", lambda y: model(x, y)
    else:
        yield "sample", lambda y: model.sample(N, y)


def askers(name, model):
    """The objectives and evaluations that serve this model, each as a function of y."""
    x, functions = binary(), []
    if isinstance(model, models.VAE | models.PCVAE | models.ConditionalVAE | models.M2):
        functions += [objectives.elbo, objectives.iwae, objectives.dreg]
        functions += [evaluate.encode, evaluate.active_units, evaluate.rate_distortion]
        functions += [partial(evaluate.importance_weighted, k=3)]
        functions += [] if "two_layer" in name else [objectives.free_bits]
        functions += [objectives.fisher] if "Normal" in name else []
    if isinstance(model, models.Dequantised):
        functions += [objectives.elbo, objectives.iwae]
        functions += [partial(evaluate.importance_weighted, k=3)]
    if isinstance(model, Tractable):
        functions += [objectives.log_likelihood, evaluate.mean_log_prob]
    if isinstance(model, models.Diffusion):
        functions += [partial(objectives.denoising, drop_label=0.0), objectives.diffusion_bound]
    if isinstance(model, models.MADE):
        functions += [objectives.order_agnostic]
    if isinstance(model, models.Critic):
        functions += [evaluate.log_density_ratio]
    if isinstance(model, models.Autoencoder | models.PCA):
        functions += [objectives.reconstruction, evaluate.encode]
    if isinstance(model, models.RBM):
        functions += [objectives.contrastive_divergence]
    for f in functions:
        yield f, lambda y, f=f: f(model, x, y)


def wrong(y, least=0):
    """What are no labels, and what the error says of it."""
    yield y.float(), "got labels of type torch.float32, expected integers"
    yield y == 0, "got labels of type torch.bool, expected integers"
    yield y.where(y != 1, CLASSES), f"got labels from 0 to {CLASSES}, expected {least} to 9"
    yield y.where(y != 1, least - 1), f"got labels from {least - 1} to 9, expected {least} to 9"


def misshapen(y):
    yield y.numpy(), "got a ndarray, expected a tensor"
    yield y[:, None], rf"got shape \({N}, 1\), expected \(.*{N},?\)"
    yield y[:1], rf"got shape \(1,\), expected \({N},\)"
    yield y[0], rf"got shape \(\), expected \({N},\)"


def seeded(f, y):
    torch.manual_seed(0)
    return f(y)


def the_same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return a == b


@pytest.mark.parametrize("name", WITH)
def test_a_model_with_classes_takes_their_labels_and_no_others(name):
    model = WITH[name].build()
    assert model.classes == CLASSES
    assert given(model, Y) == {"y": Y}
    with pytest.raises(ValueError, match=f"^y: got None.* {type(model).__name__} needs them"):
        given(model, None)
    check_data(model, binary(), Y)
    asked = [*methods(model), *askers(name, model)]
    assert len(asked) >= 2
    least = -1 if isinstance(model, models.Diffusion) else 0  # -1 asks it for any class
    for _, f in asked:
        expected = seeded(f, Y)
        for integers in (torch.uint8, torch.int32):
            assert the_same(seeded(f, Y.to(integers)), expected)
        for y, message in (*wrong(Y, least), *misshapen(Y)):
            with pytest.raises(ValueError, match=f"^y: {message}"):
                f(y)
    for what, f in asked:
        if (what, type(model)) != ("sample", models.M2):  # which draws them
            with pytest.raises(
                ValueError, match="^y: got None, expected labels.* from (0|-1) to 9"
            ):
                f(None)


@pytest.mark.parametrize("name", WITHOUT)
def test_a_model_without_classes_is_given_none(name):
    """What travels beside x in a batch, labels or else, is not for it."""
    model = WITHOUT[name].build()
    assert model.classes == 0
    assert given(model, Y) == given(model, None) == {}
    beside = [Y] if isinstance(model, SemiSupervised) else [Y, torch.randn(N, 3)]
    for _, f in askers(name, model):
        for y in beside:
            assert the_same(seeded(f, y), seeded(f, None))
    if WITHOUT[name].conditional:
        for _, f in methods(model):
            seeded(f, None)
            with pytest.raises(ValueError, match="^y: got labels, expected None"):
                f(Y)


@pytest.mark.parametrize("name", ["VAE.mlp", "PPCA", "Autoencoder.mlp"])
def test_fewer_labels_than_examples(name):
    """Batches of both would end with the labels."""
    model, ask = WITHOUT[name].build(), [evaluate.encode]
    if name == "VAE.mlp":
        ask += [evaluate.importance_weighted, evaluate.rate_distortion, evaluate.active_units]
    if name == "PPCA":
        ask += [evaluate.mean_log_prob, objectives.log_likelihood]
    for f in ask:
        with pytest.raises(ValueError, match=r"^y: got shape \(2,\), expected a tensor of 6"):
            f(model, binary(), Y[:2])


PRIORS = [name for name in WITH if "VAE" in name or "M2" in name]


@pytest.mark.parametrize("name", PRIORS)
def test_priors_given_labels_of_any_shape(name):
    model = WITH[name].build()
    assert isinstance(model, LatentVariable)
    assert model.prior(Y).batch_shape == (N,)
    assert model.prior(Y.view(2, 3)).batch_shape == (2, 3)
    for y, message in (*wrong(Y), (None, "got None")):
        with pytest.raises(ValueError, match=f"^y: {message}"):
            model.prior(y)
    x, nines = binary(), torch.full((N,), 9)
    assert evaluate.aggregate_posterior(model, x, nines).mutual_information < 2
    for y, message in (*wrong(Y), *misshapen(Y), (Y, "got labels .*, expected examples of one")):
        with pytest.raises(ValueError, match=f"^y: {message}"):
            evaluate.aggregate_posterior(model, x, y)


OBJECTIVES = {
    "ConditionalVAE.mlp": objectives.elbo,
    "MADE given y": objectives.log_likelihood,
    "M2.mlp": objectives.m2,
    "PCVAE.mlp": objectives.prediction_constrained,
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_training_and_unlabelled_examples(name):
    """Models that predict labels learn from y = -1, and others refuse it."""
    model, objective = EVERY[name].build(), OBJECTIVES[name]
    x, some = binary(), Y.where(Y != 1, -1)
    step = gradient_step(model, objective)
    fit(step, [(x, Y), (x, Y.to(torch.int16))], 1, progress=False)
    least = -1 if isinstance(model, SemiSupervised) else 0
    assert (least == -1) == (name in ("M2.mlp", "PCVAE.mlp"))
    for f in (lambda y: step.check((x, y)), lambda y: objective(model, x, y)):
        if least == -1:
            f(some)
        for y, message in wrong(Y, least):
            with pytest.raises(ValueError, match=f"^y: {message}"):
                f(y)
    for y, message in (*misshapen(Y), (None, "got None")):
        with pytest.raises(ValueError, match=f"^y: {message}"):
            objective(model, x, y)


def test_an_unlabelled_example_has_no_conditional_bound():
    model, x = WITH["M2.mlp"].build(), binary()
    assert model.predicted_classes == CLASSES
    for bound in (objectives.elbo, objectives.labelled_bound):
        with pytest.raises(ValueError, match="^y: got .* -1 is an example without a label"):
            bound(model, x, Y.where(Y != 1, -1))


def test_players_are_trained_with_labels():
    """The step hands them to both players, and refuses what are none."""
    players = [WITH[f"{name}.mlp given y"].build() for name in ("Generator", "Critic")]
    step, x = adversarial_step(*players), binary()
    step((x, Y))
    for y, message in wrong(Y):
        for f in (step, step.check):
            with pytest.raises(ValueError, match=f"^y: {message}"):
                f((x, y))
    for f in (step, step.check):
        with pytest.raises(ValueError, match="^y: got None, expected labels"):
            f((x,))
    free = adversarial_step(*(EVERY[f"{name}.mlp"].build() for name in ("Generator", "Critic")))
    again = copy.deepcopy(free)
    assert the_same(seeded(free, (x, Y)), seeded(again, (x,)))
    with pytest.raises(ValueError, match="generator, critic: got 10 and 0 classes"):
        adversarial_step(players[0], free.critic)


def test_neighbours_of_an_image_with_its_label():
    model = WITH["ConditionalVAE.conv"].build()
    model.likelihood = lambda z, y: Independent(
        Bernoulli((y / 9.0)[:, None, None, None].expand(*z.shape[:-1], *SHAPE)), 3
    )
    picture = plots.neighbours(model, binary()[0], torch.tensor(9), n=4).images[0].get_array()
    assert picture[1:6, 1:6].min() == picture[13:18, 1:6].min() == 1.0
    with pytest.raises(ValueError, match="^y: got None"):
        plots.neighbours(model, binary()[0])


def test_probes_of_codes_given_the_label():
    digits = data.load("digits", device="cpu")
    some = torch.arange(100)
    digits = replace(digits, train=digits.train.select(some), test=digits.test.select(some))
    model = models.ConditionalVAE.mlp(digits.shape, latent=2)
    # an encoder that has nothing but the label to say
    model.posterior = lambda x, y: Independent(
        torch.distributions.Normal(torch.stack([y.cos(), y.sin()], 1), 1.0), 1
    )
    assert evaluate.knn(model, digits) == 1.0
    assert evaluate.linear_probe(model, digits) > 0.2


def test_labels_of_two_leading_dimensions_and_none_at_all():
    check_labels(Y.view(2, 3), CLASSES, (2, 3))
    check_labels(Y[:0], CLASSES, (0,))
    check_labels(Y.where(Y != 1, -1), CLASSES, unlabelled=True)
