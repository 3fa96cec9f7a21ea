"""Compiled steps take the path that eager ones take, or say in one line that they do not."""

import math
from functools import partial

import pytest
import torch
from tests.every_model import EVERY, SHAPE

from dgm import estimators, heads, models, objectives, samplers
from dgm.train import adversarial_step, em_step, fit, gradient_step, linear_warmup
from dgm.train.compiled import Compiled

pytestmark = pytest.mark.usefixtures("cpu")

B = 6


@pytest.fixture
def cpu(monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    torch._dynamo.reset()
    yield
    # torch.compile switches the checks of arguments off for good
    torch.distributions.Distribution.set_default_validate_args(True)


def batch_of(name):
    x, y = EVERY[name].data(B)
    return (x,) if y is None else (x, y)


def binary():
    return (torch.rand(B, *SHAPE).round(),)


def mixed():
    return *binary(), torch.tensor([3, 7, -1, -1, -1, -1])


def points():
    return (torch.randn(B, 2),)


mlp, conv = partial(models.VAE.mlp, SHAPE, hidden=(16,)), partial(models.VAE.conv, SHAPE, width=4)
normal = partial(mlp, likelihood=heads.Normal)
bits = partial(mlp, posterior=heads.Bernoulli)
score = estimators.score_function
energy = partial(models.EnergyNetwork.fourier, 2, hidden=4, features=2)


def noisy():
    """A flow of binary pixels, with noise that is learned."""
    pixels = math.prod(SHAPE)
    noise = torch.nn.Sequential(torch.nn.Flatten(), heads.DiagonalNormal(pixels, pixels))
    return models.Dequantised(models.Flow.coupling(SHAPE, layers=2, hidden=4), 2, noise)


# a model, its objective, and a batch of data
TABLE = {
    name: (entry.build, entry.objective, partial(batch_of, name))
    for name, entry in EVERY.items()
    if name != "PCA" and not name.endswith("given y")
}
CANNOT = {  # what torch does not trace: recurrent layers, copies, inner gradients
    **{name: TABLE.pop(name) for name in ("LSTM", "MADE, any order", "MADE.ensemble")},
    "VAE, dreg": (mlp, partial(objectives.dreg, k=3), binary),
    "VAE, fisher": (normal, objectives.fisher, binary),
    "EnergyNetwork, score matching": (energy, objectives.score_matching, points),
    "EnergyNetwork, denoising": (energy, objectives.denoising_score_matching, points),
    "EnergyNetwork, mala": (
        energy,
        partial(objectives.contrastive_divergence, sampler=samplers.mala),
        points,
    ),
}
STEPS = TABLE | {
    "Dequantised, noise": (noisy, objectives.elbo, binary),
    "VAE, elbo": (mlp, objectives.elbo, binary),
    "VAE, elbo k": (mlp, partial(objectives.elbo, k=3), binary),
    "VAE, elbo score": (mlp, partial(objectives.elbo, k=3, estimator=score), binary),
    "VAE, discrete": (bits, partial(objectives.elbo, k=3, estimator=score), binary),
    "VAE, iwae": (mlp, partial(objectives.iwae, k=3), binary),
    "VAE, free bits": (mlp, objectives.free_bits, binary),
    "VAE.conv, iwae": (conv, partial(objectives.iwae, k=3), binary),
    "M2, few labels": (partial(models.M2.mlp, SHAPE, hidden=(16,)), objectives.m2, mixed),
    "EnergyNetwork, metropolis": (
        energy,
        partial(objectives.contrastive_divergence, sampler=samplers.metropolis),
        points,
    ),
    "EnergyNetwork, on a grid": (energy, partial(objectives.grid_likelihood, cells=4), points),
    "PCVAE, few labels": (
        partial(models.PCVAE.mlp, SHAPE, hidden=(16,)),
        partial(objectives.prediction_constrained, consistency=1.0),
        mixed,
    ),
}


def path(build, objective, data, compile=None, updates=3, **more):
    """Metrics and parameters after some updates, from the same seed each time."""
    torch.manual_seed(0)
    step = gradient_step(build(), objective, **more)
    if compile:
        step.compile(backend=compile)
    torch.manual_seed(1)
    batches = [data() for _ in range(updates)]
    with torch._inductor.config.patch(fallback_random=True):  # eager's random numbers
        metrics = [step(batch)["objective"] for batch in batches]
    return torch.stack(metrics), torch.cat([p.detach().flatten() for p in step.model.parameters()])


# residual networks are of the same layers, once is enough
@pytest.mark.parametrize("name", [n for n in STEPS if "residual" not in n or n == "VAE.residual"])
def test_compiled_equals_eager(name, capsys):
    torch.testing.assert_close(path(*STEPS[name], compile="aot_eager"), path(*STEPS[name]))
    assert "goes on without" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["MADE", "VAE, elbo", "VAE, iwae", "VAE, discrete", "PCVAE, few labels"]
)
def test_inductor_equals_eager(name, capsys):
    """Its operations are fused, so that sums come in another order; Adam's first updates divide
    gradients by their own size, which makes much of little."""
    objective, parameters = path(*STEPS[name], compile="inductor")
    expected_objective, expected_parameters = path(*STEPS[name])
    torch.testing.assert_close(objective, expected_objective, rtol=1e-4, atol=1e-4)
    # where a gradient is all rounding error, an update may have either sign: 3 updates of 1e-3
    torch.testing.assert_close(parameters, expected_parameters, rtol=0, atol=6.1e-3)
    assert (parameters - expected_parameters).abs().median() < 1e-6
    assert "goes on without" not in capsys.readouterr().err


@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_be_compiled_is_said_in_one_line_and_trained_without(name, capsys):
    torch.testing.assert_close(path(*CANNOT[name], compile="aot_eager"), path(*CANNOT[name]))
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("compile: goes on without, because: ") for line in lines] == [True]


def test_a_machine_without_a_compiler_trains_without(capsys):
    def no_compiler(graph, inputs):
        raise RuntimeError("no C++ compiler")

    step = gradient_step(mlp(), objectives.elbo)
    step.compile(backend=no_compiler)
    step(binary())
    step(binary())
    assert step.t == 2
    assert capsys.readouterr().err.count("because: ") == 1


def test_an_error_of_the_objective_itself_is_raised():
    step = gradient_step(mlp(), partial(objectives.elbo, k=0))
    step.compile(backend="aot_eager")
    with pytest.raises(ValueError, match="k: got 0"):
        step(binary())


def adversarial_path(compile, **more):
    torch.manual_seed(0)
    step = adversarial_step(models.Generator.mlp((2,)), models.Critic.mlp((2,)), **more)
    if compile:
        step.compile(backend="aot_eager")
    torch.manual_seed(1)
    metrics = [torch.stack(list(step(points()).values())) for _ in range(3)]
    return torch.stack(metrics), torch.cat(
        [p.detach().flatten() for p in step.average.parameters()]
    )


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"simultaneous": True},
        {"critic_objective": objectives.critic_hinge, "critic_steps": 2},
        {
            "critic_objective": objectives.critic_wasserstein,
            "generator_objective": objectives.generator_linear,
        },
    ],
)
def test_compiled_players_take_the_same_path(more, capsys):
    torch.testing.assert_close(adversarial_path(True, **more), adversarial_path(False, **more))
    penalty = more.get("critic_objective") is objectives.critic_wasserstein
    assert capsys.readouterr().err.count("goes on without") == penalty


def counting(counter):
    """A backend that counts the programs that are made, and runs them as they are."""

    def backend(graph, inputs):
        counter.append(graph)
        return graph.forward

    return backend


def test_a_schedule_is_followed_and_compiled_once():
    more = {"schedules": {"beta": partial(linear_warmup, steps=4)}}
    torch.testing.assert_close(
        path(mlp, objectives.elbo, binary, "aot_eager", updates=5, **more),
        path(mlp, objectives.elbo, binary, updates=5, **more),
    )
    made = []
    path(mlp, objectives.elbo, binary, counting(made), updates=5, **more)
    assert len(made) == 1


def test_a_schedule_of_integers_is_compiled_for_each(capsys):
    more = {"schedules": {"k": lambda t: 1 + t // 2}, "updates": 4}
    torch.testing.assert_close(
        path(mlp, objectives.iwae, binary, "aot_eager", **more),
        path(mlp, objectives.iwae, binary, **more),
    )
    assert "goes on without" not in capsys.readouterr().err


def test_bf16_is_compiled(capsys):
    arguments = conv, objectives.elbo, binary
    more = {"precision": "bf16", "updates": 2}
    compiled = path(*arguments, "aot_eager", **more)
    torch.testing.assert_close(compiled, path(*arguments, **more))
    assert not torch.equal(compiled[0], path(*arguments, updates=2)[0])
    assert "goes on without" not in capsys.readouterr().err


def test_each_shape_is_compiled_once():
    made = []
    square = Compiled(lambda x: x.square().sum(), backend=counting(made))
    for n in (4, 2, 3, 4, 2, 3):
        assert square(torch.ones(n)) == n
    assert len(made) == 3


@pytest.mark.skipif(torch.__version__ < "2.14", reason="all share one cache of 8 programs there")
def test_many_steps_are_compiled_in_one_process(capsys):
    for width in range(2, 13):
        build = partial(models.VAE.mlp, SHAPE, hidden=(width,))
        path(build, objectives.elbo, binary, "aot_eager", updates=1)
    assert "goes on without" not in capsys.readouterr().err


def test_fit_compiles_and_saves_the_raw_model(tmp_path):
    class quickly_compiled(gradient_step):
        def compile(self):
            super().compile(backend="aot_eager")

    def new(kind):
        torch.manual_seed(0)
        return kind(mlp(), objectives.elbo)

    eager, compiled, file = new(gradient_step), new(quickly_compiled), tmp_path / "run.pt"
    batches = [binary() for _ in range(3)]
    expected = fit(eager, batches, 2, seed=3, progress=False)
    fit(compiled, batches, 1, seed=3, compile=True, checkpoint=file, progress=False)
    assert compiled.compiled
    resumed = new(gradient_step)  # reads what a compiled step wrote, and goes on without
    history = fit(resumed, batches, 2, checkpoint=file, progress=False)
    assert history["objective"] == pytest.approx(expected["objective"], rel=1e-6)


@pytest.mark.parametrize(
    "step",
    [
        lambda: gradient_step(models.Autoencoder.mlp((2,)), objectives.reconstruction),
        lambda: adversarial_step(models.Generator.mlp((2,)), models.Critic.mlp((2,))),
    ],
)
def test_on_a_cpu_one_line_says_that_compiling_is_not_worth_it(step, monkeypatch, capsys):
    def never(*arguments, **options):
        raise AssertionError("compiled on a CPU")

    monkeypatch.setattr(torch, "compile", never)
    assert fit(step(), [points()], epochs=2, compile=True, progress=False).epochs == 2
    said = "compile: goes on without, because: on a CPU it gains little or nothing"
    assert capsys.readouterr().err.splitlines() == [said]


def test_a_step_without_a_gradient_is_trained_without(capsys):
    step = em_step(models.GaussianMixture((2,), components=2))
    fit(step, [points()], epochs=2, compile=True, progress=False)
    assert "compile: goes on without, because: em_step has no gradient" in capsys.readouterr().err


# --- waiting ---


@pytest.mark.parametrize("name", STEPS | CANNOT)
def test_a_step_never_waits_for_a_value(name, monkeypatch):
    """On the meta device tensors have shapes and no values: reading one is an error there. On an
    accelerator it would make the program wait until all work so far is done."""
    monkeypatch.setenv("DGM_DEVICE", "meta")
    build, objective, data = (STEPS | CANNOT)[name]
    step = gradient_step(build().to("meta"), objective, optimizer=partial(torch.optim.SGD, lr=0.1))
    metrics = step([tensor.to("meta") for tensor in data()])
    assert metrics["objective"].is_meta


def test_players_never_wait_for_a_value(monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "meta")
    sgd = partial(torch.optim.SGD, lr=0.1)
    step = adversarial_step(
        models.Generator.mlp((2,)).to("meta"),
        models.Critic.mlp((2,)).to("meta"),
        generator_optimizer=sgd,
        critic_optimizer=sgd,
    )
    assert step([points()[0].to("meta")])["critic"].is_meta
