"""What steps share: learners, schedules, devices, objectives with a state, answers to `fit`."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR

from dgm.models import VAE, Autoencoder, Critic, GaussianMixture, Generator
from dgm.objectives import critic_logistic, elbo, reconstruction
from dgm.train import (
    History,
    Learner,
    Step,
    adversarial_step,
    em_step,
    fit,
    gradient_step,
    load_checkpoint,
    save_checkpoint,
)

pytestmark = pytest.mark.usefixtures("cpu")

X = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))


def autoencoder(seed=1):
    torch.manual_seed(seed)
    return Autoencoder.mlp((2,), latent=1, hidden=(8,))


def players(seed=1):
    torch.manual_seed(seed)
    return Generator.mlp((2,), latent=3, hidden=(8,)), Critic.mlp((2,), hidden=(8,))


def flat(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def tensors(state):
    """All tensors and numbers of a nested state, in order."""
    if isinstance(state, dict | list | tuple):
        parts = state.values() if isinstance(state, dict) else state
        return [value for part in parts for value in tensors(part)]
    return [state]


def same(a, b):
    pairs = list(zip(tensors(a), tensors(b), strict=True))
    return all(torch.equal(p, q) if isinstance(p, torch.Tensor) else p == q for p, q in pairs)


# ---------------------------------------------------------------- learners


def test_a_gradient_stays_with_its_learner():
    mine, other = nn.Linear(2, 1), nn.Linear(1, 1)
    learner = Learner(mine, partial(SGD, lr=0.1))
    learner.gradient(other(mine(X)).mean())
    assert all(p.grad is not None for p in mine.parameters())
    assert all(p.grad is None for p in other.parameters())


@pytest.mark.parametrize("critic_steps", [1, 3])
def test_the_rate_of_both_players_goes_on_once_a_step(critic_steps):
    """Also where the critic moves three times: the schedule counts steps, as `t` does."""
    seen = []

    class Seen(SGD):
        def step(self):
            seen.append(self.param_groups[0]["lr"])
            super().step()

    half, sgd = partial(ExponentialLR, gamma=0.5), partial(Seen, lr=0.8)
    optimizers = {"generator_optimizer": sgd, "critic_optimizer": sgd}
    step = adversarial_step(*players(), lr_schedule=half, critic_steps=critic_steps, **optimizers)
    for rate in (0.8, 0.4, 0.2):
        assert step.learning_rates() == [rate]
        step((X,))
        assert seen == [rate] * (critic_steps + 1)
        seen.clear()


@pytest.mark.parametrize("simultaneous", [False, True])
def test_the_gradients_of_both_players_are_clipped(simultaneous):
    """By SGD of rate 1 a player moves by its gradient, whose norm is reported before clipping."""
    moves, norms = [], []
    for clip in (None, 1e-3):
        step = adversarial_step(
            *players(),
            generator_optimizer=partial(SGD, lr=1.0),
            critic_optimizer=partial(SGD, lr=1e-9),  # the generator meets the same critic
            clip=clip,
            simultaneous=simultaneous,
        )
        before = flat(step.generator)
        torch.manual_seed(2)
        metrics = step((X,))
        moves.append(flat(step.generator) - before)
        norms.append({name: metrics[name] for name in metrics if "norm" in name})
    assert norms[0] == {}
    assert list(norms[1]) == ["generator_gradient_norm", "critic_gradient_norm"]
    torch.testing.assert_close(norms[1]["generator_gradient_norm"], moves[0].norm())
    assert moves[1].norm() == pytest.approx(1e-3, rel=1e-3)
    assert torch.cosine_similarity(moves[0], moves[1], dim=0) == pytest.approx(1, abs=1e-3)
    with pytest.raises(ValueError, match="clip: got 0, expected a positive norm"):
        adversarial_step(*players(), clip=0)


# ---------------------------------------------------------------- schedules


def test_what_a_step_does_not_know_is_refused():
    with pytest.raises(TypeError, match="lrr"):
        gradient_step(autoencoder(), reconstruction, lrr=1e-3)
    with pytest.raises(
        ValueError, match=r"schedules: got 0.5 for beta, .* partial\(objective, bet"
    ):
        gradient_step(autoencoder(), elbo, schedules={"beta": 0.5})


def test_a_keyword_of_the_objective_may_be_called_as_one_of_the_step():
    seen = []

    def objective(model, x, lr, clip):
        seen.append((lr, clip))
        return reconstruction(model, x)

    schedules = {"lr": lambda t: -t, "clip": lambda t: 10 * t}
    step = gradient_step(autoencoder(), objective, lr=0.1, clip=1.0, schedules=schedules)
    for _ in range(2):
        step((X,))
    assert seen == [(0, 0), (-1, 10)]


# ---------------------------------------------------------------- devices


@pytest.mark.parametrize(("place", "elsewhere"), [("meta", "cpu"), ("cpu", "meta")])
def test_models_stay_where_they_are(monkeypatch, place, elsewhere):
    monkeypatch.setenv("DGM_DEVICE", elsewhere)
    sgd, x = partial(SGD, lr=0.1), X.to(place)
    step = gradient_step(
        VAE.mlp((2,), latent=1, hidden=4).to(place),
        elbo,
        optimizer=sgd,
        precision="bf16" if place == "cpu" else "float32",
        schedules={"beta": lambda t: 0.5},
    )
    optimizers = {"generator_optimizer": sgd, "critic_optimizer": sgd}
    game = adversarial_step(*(p.to(place) for p in players()), **optimizers)
    em = em_step(GaussianMixture((2,), components=2).to(place))
    for module in (step.model, game.generator, game.critic, game.average, em.model):
        assert {p.device.type for p in module.parameters()} == {place}
    assert step((x,))["objective"].device.type == place
    assert game((x,))["critic"].device.type == place


@pytest.mark.parametrize("name", ["gradient", "adversarial", "em"])
def test_data_on_another_device_are_refused_with_both_names(name):
    step = {
        "gradient": lambda: gradient_step(autoencoder(), reconstruction),
        "adversarial": lambda: adversarial_step(*players()),
        "em": lambda: em_step(GaussianMixture((2,), components=2)),
    }[name]()
    message = r"x: got a tensor on meta, expected one on cpu, where the model is; .*\.to\(dgm\.dev"
    with pytest.raises(ValueError, match=message):
        fit(step, [(X.to("meta"),)], 1, progress=False)
    assert step.t == 0


def test_players_on_two_devices_are_refused():
    generator, critic = players()
    with pytest.raises(ValueError, match="critic: got one on cpu and one on meta, expected both"):
        adversarial_step(generator, critic.to("meta"))


# ---------------------------------------------------------------- objectives with a state


class Replay:
    """An objective that is about earlier examples too: it keeps some, and draws from them."""

    def __init__(self):
        self.kept, self.calls = torch.zeros(4, 2), 0

    def __call__(self, model, x):
        self.calls += 1
        return reconstruction(model, x) + self.calls * reconstruction(model, self.old(x))

    def old(self, x):
        draw = self.kept[torch.randint(4, (len(x),))]
        self.kept = torch.cat([x[:1].detach(), self.kept[:-1]])
        return draw

    def state_dict(self):
        return {"kept": self.kept, "calls": self.calls}

    def load_state_dict(self, state):
        self.kept, self.calls = state["kept"], state["calls"]


class ReplayGame(Replay):
    """The same of a critic."""

    def __call__(self, D, real, fake):
        return critic_logistic(D, real, fake + self.old(fake))


def remembering(name, seed):
    if name == "critic":
        return adversarial_step(*players(seed), critic_objective=ReplayGame(), clip=1.0)
    if name == "generator":
        game = partial(lambda D, fake, kept: D(kept.old(fake) + fake), kept=Replay())
        return adversarial_step(*players(seed), generator_objective=game)
    objective = Replay()
    if name == "method":
        objective = Replay().__call__
    if name == "given":
        objective = partial(lambda model, x, kept: kept(model, x), kept=Replay())
    return gradient_step(autoencoder(seed), objective, ema=0.9)


@pytest.mark.parametrize("name", ["itself", "method", "given", "critic", "generator"])
def test_an_objective_with_a_state_is_resumed_exactly(tmp_path, name):
    batches, file = list(zip(X.split(4), strict=True)), tmp_path / "run.pt"
    whole, first, second = remembering(name, 1), remembering(name, 1), remembering(name, 7)
    torch.manual_seed(5)
    expected = fit(whole, batches, 4, progress=False)
    torch.manual_seed(5)
    fit(first, batches, 2, checkpoint=file, progress=False)
    torch.manual_seed(99)  # another process
    history = fit(second, batches, 4, checkpoint=file, progress=False)
    assert history.metrics == expected.metrics
    assert same(second.state_dict(), whole.state_dict())
    state = whole.state_dict()
    (found,) = [part for part in state if "objective" in part]
    assert "kept" in state[found]


def test_a_class_that_an_objective_is_given_has_no_state(tmp_path):
    objective = partial(lambda model, x, kind: reconstruction(model, x), kind=nn.Linear)
    step = gradient_step(autoencoder(), objective)
    save_checkpoint(tmp_path / "run.pt", step, History())
    load_checkpoint(tmp_path / "run.pt", step)


# ---------------------------------------------------------------- resumed, and gone back


def test_a_game_with_everything_is_resumed_exactly(tmp_path):
    def new(seed):
        falling = partial(LambdaLR, lr_lambda=lambda t: 1 / (1 + t))
        return adversarial_step(*players(seed), lr_schedule=falling, clip=0.3, critic_steps=2)

    batches, file = [(X[:6],), (X[6:],)], tmp_path / "run.pt"
    whole, first, second = new(1), new(1), new(7)
    torch.manual_seed(5)
    expected = fit(whole, batches, 4, progress=False)
    torch.manual_seed(5)
    fit(first, batches, 1, checkpoint=file, progress=False)
    torch.manual_seed(99)
    history = fit(second, batches, 4, checkpoint=file, progress=False)
    assert history.metrics == expected.metrics
    assert same(second.state_dict(), whole.state_dict())
    assert second.learning_rates() == whole.learning_rates() == pytest.approx([1e-3 / 9])


def test_going_back_to_the_best_epoch_does_not_bring_back_its_random_numbers():
    draws = []
    for values, patience in (((2.0, 1.0), 5), ((1.0, 2.0), 5)):
        step, scores = gradient_step(VAE.mlp((2,), latent=1, hidden=4), elbo), iter(values)
        torch.manual_seed(3)
        validate = lambda scores=scores: {"test": next(scores)}  # noqa: E731
        fit(step, [(X.sigmoid().round(),)], 2, validate, patience, progress=False)
        draws.append(torch.rand(3))
    assert torch.equal(*draws)


# ---------------------------------------------------------------- what fit asks


class Counter(Step):
    """A step of one's own: nothing but an update."""

    def __call__(self, batch):
        self.t += 1
        return {"count": torch.tensor(float("nan") if self.t == 4 else self.t)}


def test_a_step_of_ones_own_needs_no_more_than_an_update(capsys, tmp_path):
    step, file = Counter(), tmp_path / "run.pt"
    assert fit(step, [(X,)] * 3, 1, compile=True, checkpoint=file, progress=False)["count"] == [2.0]
    assert "compile: goes on without, because: Counter has no gradient" in capsys.readouterr().err
    with pytest.raises(
        FloatingPointError, match="step 1 of epoch 1; the step has no learning rate"
    ):
        fit(step, [(X,)], 1, progress=False)
    with pytest.raises(ValueError, match="distributed: got Counter, expected a gradient_step"):
        fit(step, [(X,)], 1, distributed=True, progress=False)
    again = Counter()
    load_checkpoint(file, again)
    assert again.t == 3


def test_a_nan_of_a_game_names_the_rates_of_both_players():
    step = adversarial_step(
        *players(),
        generator_objective=lambda D, fake: D(fake) * (torch.nan if step.t else 1.0),
        generator_optimizer=partial(SGD, lr=0.25),
        critic_optimizer=partial(SGD, lr=0.5),
    )
    with pytest.raises(
        FloatingPointError, match="generator is nan .* rate is 0.25, 0.5: is it too"
    ):
        fit(step, [(X,)] * 2, 1, progress=False)
