"""What is no data of a model is refused, everywhere, before it becomes a number."""

from functools import partial
from inspect import signature

import numpy as np
import pytest
import torch
from tests.every_model import EVERY, SHAPE
from torch import nn
from torch.distributions import (
    Bernoulli,
    Distribution,
    Independent,
    Normal,
    Uniform,
)
from torch.utils._python_dispatch import TorchDispatchMode

from dgm import checks, energies, evaluate, heads, models, objectives, samplers
from dgm.train import adversarial_step, em_step, fit, gradient_step

pytestmark = pytest.mark.usefixtures("cpu")

normal = {"likelihood": heads.Normal}


def name_of(objective):
    return getattr(objective, "func", objective).__name__


def ask_sampler(sampler, model, x, y=None):
    return sampler(model, x, 1, y)


# every function that asks a model about data
ASKED = {
    f"{name_of(entry.objective)}, {name}": (name, entry.objective)
    for name, entry in EVERY.items()
    if not name.startswith(("Generator", "Critic"))  # asked by games
} | {
    "iwae": ("VAE.mlp", objectives.iwae),
    "dreg": ("VAE.mlp", objectives.dreg),
    "free_bits": ("VAE.mlp", objectives.free_bits),
    "fisher": ("VAE.mlp, Normal", objectives.fisher),
    "labelled_bound": ("M2.mlp", objectives.labelled_bound),
    "unlabelled_bound": ("M2.mlp", lambda m, x, y: objectives.unlabelled_bound(m, x)),
    "log_likelihood, RBM": ("RBM", objectives.log_likelihood),
    "contrastive_divergence, mala": (
        "EnergyNetwork.mlp",
        partial(objectives.contrastive_divergence, sampler=samplers.mala),
    ),
    "noise_contrastive": ("EnergyNetwork.mlp", EVERY["EnergyNetwork.mlp"].objective),
    "score_matching": ("EnergyNetwork.mlp", objectives.score_matching),
    "sliced_score_matching": ("EnergyNetwork.mlp", objectives.sliced_score_matching),
    "denoising_score_matching": ("EnergyNetwork.mlp", objectives.denoising_score_matching),
    "diffusion_bound": ("Diffusion.mlp", objectives.diffusion_bound),
    "flow_matching": ("Diffusion.mlp", objectives.flow_matching),
    "flow_between": (
        "Diffusion.mlp",
        lambda m, x, y: objectives.flow_between(m, x, torch.zeros(6, *SHAPE)),
    ),
    "flow_likelihood": ("Diffusion.mlp", partial(objectives.flow_likelihood, steps=1, probes=1)),
    "ode_log_prob": ("Diffusion.mlp", partial(evaluate.ode_log_prob, steps=1, probes=1)),
    "log_density": ("EnergyNetwork.mlp", energies.log_density),
    "score": ("EnergyNetwork.mlp", energies.score),
    **{
        sampler.__name__: ("EnergyNetwork.mlp", partial(ask_sampler, sampler))
        for sampler in (samplers.langevin, samplers.mala, samplers.metropolis)
    },
    "gibbs": ("RBM", partial(ask_sampler, samplers.gibbs)),
    "annealed_langevin": (
        "ScoreNetwork.mlp",
        partial(ask_sampler, partial(samplers.annealed_langevin, sigmas=(1.0, 0.1))),
    ),
    "DecoderPath": ("VAE.mlp", evaluate.DecoderPath),
    "RBMPath": ("RBM", lambda m, x, y: evaluate.RBMPath(m, x)),
    "importance_weighted": ("VAE.mlp", evaluate.importance_weighted),
    "rate_distortion": ("VAE.mlp", evaluate.rate_distortion),
    "active_units": ("VAE.mlp", evaluate.active_units),
    "aggregate_posterior": ("VAE.mlp", evaluate.aggregate_posterior),
    "encode": ("VAE.mlp", evaluate.encode),
    "encode, PCA": ("PCA", evaluate.encode),
    "reconstruction_error": (
        "Autoencoder.mlp",
        lambda m, x, y: evaluate.reconstruction_error(m, x),
    ),
    "mean_log_prob": ("MADE", evaluate.mean_log_prob),
    "fit": ("VAE.mlp", lambda m, x, y: fit(gradient_step(m, objectives.elbo), [(x,)], 1)),
    "fit, EM": ("PPCA", lambda m, x, y: fit(em_step(m), [(x,)], 1)),
}


def test_every_objective_is_asked():
    """Those of a model and its data; a game's are of a critic, a grid's of points of the plane."""
    names = set(objectives.__all__) - {"grid_likelihood"}
    functions = {name: getattr(objectives, name) for name in names}
    expected = {n for n, f in functions.items() if [*signature(f).parameters][:2] == ["model", "x"]}
    missing = expected - {name.split(",")[0] for name in ASKED}
    assert not missing, f"ASKED: no line for {', '.join(sorted(missing))}"


@pytest.fixture(params=ASKED)
def asked(request):
    name, function = ASKED[request.param]
    return EVERY[name].build(), function, *EVERY[name].data()


def test_data_are_taken(asked):
    model, function, x, y = asked
    function(model, x, y)


def test_channels_last_are_refused(asked):
    """They have as many numbers, so that a network that flattens them would not notice."""
    model, function, x, y = asked
    with pytest.raises(ValueError, match="x: got shape"):
        function(model, x.permute(0, 2, 3, 1), y)


def test_an_image_of_one_number_does_not_broadcast(asked):
    model, function, x, y = asked
    with pytest.raises(ValueError, match="x: got shape"):
        function(model, x[:, :, :1, :1], y)


def test_another_precision_is_refused(asked):
    model, function, x, y = asked
    with pytest.raises(ValueError, match=r"x: got torch.float64, expected torch.float32"):
        function(model, x.double(), y)


def test_an_array_is_refused(asked):
    model, function, x, y = asked
    with pytest.raises(ValueError, match="got a ndarray|of ndarray"):
        function(model, x.numpy(), y)


@pytest.mark.parametrize(
    ("name", "grey"),
    [("VAE.mlp", False), ("BernoulliMixture", False), ("RBM", False), ("PPCA", True)],
)
def test_the_support_is_the_models(name, grey):
    model = EVERY[name].build()
    x = torch.full((2, *model.shape), 0.5)
    if grey:
        checks.check_data(model, x)
    else:
        with pytest.raises(ValueError, match="x: got values outside the support"):
            checks.check_data(model, x)


def test_a_model_of_the_users_own_shows_what_it_does_not_say():
    class Own(nn.Module):
        """A decoder with batch normalisation: looking at it must not move its statistics."""

        def __init__(self):
            super().__init__()
            self.decoder = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))

        def sample(self, n):
            return self.likelihood(self.prior().sample((n,))).sample()

        def prior(self):
            return Independent(Normal(torch.zeros(2), 1.0), 1)

        def posterior(self, x):
            return Independent(Normal(x[:, :2], 1.0), 1)

        def likelihood(self, z):
            return Independent(Normal(self.decoder(z), 1.0), 1)

    model = Own()
    before, state = model.decoder[1].running_mean.clone(), torch.get_rng_state()
    model.decoder[0].eval()
    shape, support = checks.described(model, torch.zeros(5, 3))
    assert tuple(shape) == (3,)
    assert support.check(torch.zeros(3))
    assert torch.equal(model.decoder[1].running_mean, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert [layer.training for layer in model.decoder] == [False, True]
    with pytest.raises(ValueError, match=r"x: got shape \(5, 2\), expected \(N, 3\)"):
        checks.check_data(model, torch.zeros(5, 2))


class OwnWords:
    """A user's model, in which the words mean other things."""

    shape, support, classes = print, "compact", ("cat", "dog")

    def sample(self, n):
        return torch.zeros(n, 2)

    def log_prob(self, x):
        return -x.square().sum(1)


def test_a_users_own_words_are_not_taken_for_ours():
    x, y = torch.zeros(5, 2), torch.zeros(5)
    checks.check_data(OwnWords(), x, y)
    assert objectives.log_likelihood(OwnWords(), x, y).shape == (5,)
    assert evaluate.mean_log_prob(OwnWords(), x, y) == (0.0, 0.0)
    for shape in (3, [3], np.int64(3)):
        model = OwnWords()
        model.shape = shape
        with pytest.raises(ValueError, match=r"x: got shape \(5, 2\), expected \(..., 3\)"):
            checks.check_event(model, x)


def test_what_is_said_is_taken_and_what_is_not_is_looked_up():
    class Says(nn.Module):
        """Its shape, not its support; its first tensor is no number of the model's type."""

        def __init__(self):
            super().__init__()
            self.shape = (2,)
            self.register_buffer("order", torch.arange(2))
            self.register_buffer("one", torch.ones(2, dtype=torch.float64))

        def sample(self, n):
            return self.likelihood(self.prior().sample((n,))).sample()

        def prior(self):
            return Independent(Normal(0 * self.one, self.one), 1)

        def posterior(self, x):
            return Independent(Normal(x, self.one), 1)

        def likelihood(self, z):
            return Independent(Bernoulli(logits=z, validate_args=False), 1, validate_args=False)

    checks.check_data(Says(), torch.ones(3, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match="x: got values outside the support"):
        checks.check_data(Says(), torch.full((3, 2), 0.5, dtype=torch.float64))
    with pytest.raises(ValueError, match="x: got torch.float32, expected torch.float64"):
        checks.check_data(Says(), torch.ones(3, 2))


def test_a_distribution_that_does_not_say_its_support():
    class Silent(Distribution):
        arg_constraints = {}

        def log_prob(self, value):
            return -value.square()

    assert evaluate.mean_log_prob(Silent(validate_args=False), torch.ones(3)) == (-1.0, 0.0)


def test_data_have_one_leading_dimension():
    checks.check_event(models.PCA((2,)), torch.zeros(3, 5, 2))
    with pytest.raises(ValueError, match=r"x: got shape \(3, 5, 2\), expected \(N, 2\)"):
        checks.check_data(models.PCA((2,)), torch.zeros(3, 5, 2))


def test_values_are_looked_at_where_nobody_waits_for_them():
    assert checks.readable(torch.zeros(1))
    assert not checks.readable(torch.zeros(1, device="meta"))
    ask = torch.compile(lambda x: x + checks.readable(x), backend="eager", fullgraph=True)
    assert ask(torch.zeros(())) == 0


# ---------------------------------------------------------------- it costs nothing


class Operations(TorchDispatchMode):
    """Counts what torch computes."""

    def __enter__(self):
        self.names = []
        return super().__enter__()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", EVERY)
def test_the_cheap_check_computes_nothing(name):
    model, (x, y) = EVERY[name].build(), EVERY[name].data()
    values = torch.zeros(len(x))
    with Operations() as operations:
        checks.check_event(model, x, y)
        checks.examples((x, y))
        checks.one_each(values, x, "objective")
    assert operations.names == []


# ---------------------------------------------------------------- sizes, batches


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True, "3", None, np.float64(2)])
def test_what_is_no_size(wrong):
    with pytest.raises(ValueError, match="latent: got "):
        checks.integer("latent", wrong)
    with pytest.raises(ValueError, match="hidden: got "):
        checks.sizes("hidden", wrong)
    with pytest.raises(ValueError, match="hidden: got "):
        checks.sizes("hidden", (4, wrong))


def test_numpys_integers_are_pythons():
    assert type(checks.integer("n", np.int32(3))) is int
    assert checks.sizes("shape", np.array([1, 8])) == (1, 8)
    assert type(checks.sizes("shape", np.array([1, 8]))[0]) is int


X = torch.zeros(4, 2)


@pytest.mark.parametrize(
    "batch",
    [X, {"x": X}, (X,) * 3, [], (), (X, X[:3]), (None, X), (X.numpy(),), (torch.zeros(()),), 3],
)
def test_what_is_no_batch(batch):
    step = gradient_step(models.Autoencoder.linear((2,), 1), objectives.reconstruction)
    for act in (step, lambda b: fit(step, [b], 1, progress=False)):
        with pytest.raises(ValueError, match="batches: "):
            act(batch)
    assert step.t == 0


@pytest.mark.parametrize("batch", [(X,), [X], (X, torch.zeros(4)), [X, X]])
def test_what_is_a_batch(batch):
    assert checks.examples(batch) == tuple(batch)
    assert checks.examples((X, None)) == (X,)


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match="x: got 0 examples"):
        checks.check_data(models.PCA((2,)), torch.zeros(0, 2))


@pytest.mark.parametrize("objective", [lambda m, x: m(x), lambda m, x: m(x).sum()])
def test_an_objective_is_one_number_per_example(objective):
    step = gradient_step(models.Autoencoder.linear((2,), 1), objective)
    with pytest.raises(ValueError, match=r"objective: returned shape .* expected \(4,\)"):
        step((X,))


def test_players_objectives_are_one_number_per_example():
    players = models.Generator.mlp((2,)), models.Critic.mlp((2,))
    for wrong in ("critic_objective", "generator_objective"):
        step = adversarial_step(*players, **{wrong: lambda D, *x: D(x[0]).sum()})
        with pytest.raises(ValueError, match=f"{wrong}: returned shape"):
            step((X,))


def test_a_log_prob_is_one_number_per_example():
    with pytest.raises(ValueError, match=r"x: got shape \(4, 2\), expected \(N,\)"):
        objectives.log_likelihood(Normal(0.0, 1.0), X)
    with pytest.raises(ValueError, match="model: log_prob: returned shape"):
        objectives.log_likelihood(Normal(torch.zeros(4, 1), 1.0), X[:, 0])


def test_a_torch_distribution_does_not_broadcast_its_events():
    plane = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    assert objectives.log_likelihood(plane, X).shape == (4,)
    for ask in (objectives.log_likelihood, evaluate.mean_log_prob):
        with pytest.raises(ValueError, match=r"x: got shape \(4, 1\), expected \(..., 2\)"):
            ask(plane, X[:, :1])


def test_outside_the_support_of_a_torch_distribution_it_speaks_for_itself():
    outside = torch.tensor([0.5, 2.0])
    assert evaluate.mean_log_prob(Uniform(0.0, 1.0, validate_args=False), outside)[0] == -np.inf


@pytest.mark.parametrize("head", [heads.Normal(4, (1,)), heads.Normal(4, (2,))])
def test_a_decoder_makes_events_of_the_models_shape(head):
    """Else data would be broadcast against them; and one distribution per number is not one."""
    decoder = nn.Sequential(nn.Linear(2, 4), head)
    if head.dims == 1 and head.mean[0].out_features == 2:
        decoder = nn.Sequential(decoder, Bare())
    encoder = nn.Sequential(nn.Linear(2, 4), heads.DiagonalNormal(4, 2))
    model = models.VAE(encoder, decoder, heads.StandardNormal(2), (2,))
    for ask in (
        lambda: fit(gradient_step(model, objectives.elbo), [(X,)], 1, progress=False),
        lambda: evaluate.importance_weighted(model, X, k=2),
        lambda: evaluate.rate_distortion(model, X),
    ):
        with pytest.raises(ValueError, match="decoder: makes events of shape"):
            ask()


class Bare(nn.Module):
    """Takes the Independent away."""

    def forward(self, p):
        return p.base_dist


LAID_OUT = {
    "Critic.mlp": lambda m: m,
    "Autoencoder.mlp": lambda m: m.encode,
    "VAE.mlp": lambda m: m.posterior,
    "ConditionalVAE.mlp": lambda m: lambda x: m.posterior(x, torch.zeros(6, dtype=torch.long)),
    "M2.mlp": lambda m: m.classify,
    "PCVAE.mlp": lambda m: m.classify,
}


@pytest.mark.parametrize("name", LAID_OUT)
def test_channels_last_are_refused_by_the_models_themselves(name):
    model, (x, _) = EVERY[name].build(), EVERY[name].data()
    LAID_OUT[name](model)(x)
    with pytest.raises(ValueError, match="x: got shape"):
        LAID_OUT[name](model)(x.permute(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("Autoencoder.mlp", evaluate.reconstruction_error),
        ("Autoencoder.mlp", objectives.reconstruction),
        ("VAE.mlp", evaluate.active_units),
        ("VAE.mlp", evaluate.aggregate_posterior),
        ("VAE.mlp", evaluate.encode),
        ("Critic.mlp", evaluate.log_density_ratio),
    ],
)
def test_more_leading_dimensions_are_no_examples(name, ask):
    model, (x, _) = EVERY[name].build(), EVERY[name].data()
    for wrong in (x[None], x[0]):
        with pytest.raises(ValueError, match="x: got shape"):
            ask(model, wrong)


def test_evaluations_of_what_is_not_finite():
    nothing = torch.full((4, *SHAPE), torch.nan)
    for ask in (evaluate.active_units, evaluate.aggregate_posterior):
        with pytest.raises(ValueError, match="x: got values that are not finite"):
            ask(EVERY["VAE.mlp"].build(), nothing)
    with pytest.raises(ValueError, match="x: got values that are not finite"):
        evaluate.mean_log_prob(EVERY["PPCA"].build(), nothing)
    for ask in (evaluate.mmd, evaluate.mmd_test, evaluate.frechet_distance):
        with pytest.raises(ValueError, match="b: got values that are not finite"):
            ask(torch.zeros(4, 2), nothing[:, 0, 0, :2])


def test_codes_and_ratios_are_one_for_each_example():
    class Mean(nn.Module):
        def encode(self, x):
            return x.mean(0)

    with pytest.raises(ValueError, match="model: encodes 4 examples into 2 codes"):
        evaluate.encode(Mean(), X)
    with pytest.raises(ValueError, match="critic: returned shape"):
        evaluate.log_density_ratio(lambda x: x[:, :1], X)


def test_a_reconstruction_has_the_shape_of_the_data():
    with pytest.raises(ValueError, match="model: reconstructs x of shape"):
        objectives.reconstruction(nn.Flatten(0), X)


# ---------------------------------------------------------------- ranges of games


@pytest.mark.parametrize(
    ("last", "low", "high"), [(nn.Sigmoid(), 0, 1), (nn.Tanh(), -1, 1), (nn.ReLU(), -9, 9)]
)
def test_data_that_the_generator_cannot_make(last, low, high):
    network = nn.Sequential(nn.Linear(3, 2), last)
    generator = models.Generator(network, latent=3, shape=(2,))
    step = adversarial_step(generator, models.Critic.mlp((2,), hidden=(4,)))
    step.check((torch.tensor([[low, high]]).float(),))
    if high < 9:
        with pytest.raises(ValueError, match="which this generator cannot make"):
            step.check((torch.tensor([[low - 0.1, high]]),))
