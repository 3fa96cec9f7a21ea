"""The game: objectives by hand, penalties by finite differences, players kept apart."""

import cmath
import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD

from dgm import data, objectives
from dgm.models import Critic, Generator
from dgm.objectives import (
    critic_hinge,
    critic_logistic,
    critic_wasserstein,
    generator_linear,
    generator_non_saturating,
    generator_saturating,
    gradient_penalty,
    r1_penalty,
)
from dgm.train import Step, adversarial_step, fit

pytestmark = pytest.mark.usefixtures("cpu")
first = lambda x: x[:, 0]  # noqa: E731  a critic that reads its score off the example


@pytest.fixture
def cpu(monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    torch.manual_seed(0)


# --- objectives ---


def test_values_at_known_scores():
    real, fake = torch.tensor([[2.0], [0.5], [-1.0]]), torch.tensor([[-3.0], [-0.5], [1.0]])
    sigma = lambda a: 1 / (1 + math.exp(-a))  # noqa: E731
    pairs = [(2.0, -3.0), (0.5, -0.5), (-1.0, 1.0)]
    expected = {
        critic_logistic: [math.log(sigma(a)) + math.log(1 - sigma(b)) for a, b in pairs],
        partial(critic_wasserstein, penalty=0): [5.0, 1.0, -2.0],
        critic_hinge: [0.0, -1.0, -4.0],
    }
    for objective, values in expected.items():
        torch.testing.assert_close(objective(first, real, fake), torch.tensor(values))
    expected = {
        generator_saturating: [-math.log(1 - sigma(b)) for _, b in pairs],
        generator_non_saturating: [math.log(sigma(b)) for _, b in pairs],
        generator_linear: [b for _, b in pairs],
    }
    for objective, values in expected.items():
        torch.testing.assert_close(objective(first, fake), torch.tensor(values))


@pytest.mark.parametrize(
    ("objective", "slope"),
    [
        (generator_saturating, lambda a: 1 / (1 + math.exp(-a))),
        (generator_non_saturating, lambda a: 1 / (1 + math.exp(a))),
        (generator_linear, lambda a: 1.0),
    ],
)
def test_gradients_of_the_generator_at_known_logits(objective, slope):
    """A sure critic, a = -10, leaves 4.5e-05 of the saturating gradient, 0.99995 of the other."""
    logits = torch.tensor([[-10.0], [-1.0], [0.0], [3.0]], dtype=torch.double, requires_grad=True)
    objective(first, logits).sum().backward()
    expected = torch.tensor([[slope(a)] for a in (-10, -1, 0, 3)], dtype=torch.double)
    torch.testing.assert_close(logits.grad, expected, rtol=1e-6, atol=0)


def test_objectives_survive_logits_of_a_thousand():
    real, fake = torch.full((1, 1), -1000.0), torch.full((1, 1), 1000.0)
    assert critic_logistic(first, real, fake) == -2000
    assert generator_saturating(first, fake) == 1000


def test_the_best_logit_is_the_log_ratio_and_the_value_is_the_jsd():
    """On five outcomes, expectations by enumeration, the maximum found by Newton's method."""
    p = torch.tensor([0.4, 0.3, 0.2, 0.05, 0.05], dtype=torch.double)
    q = torch.tensor([0.1, 0.1, 0.2, 0.5, 0.1], dtype=torch.double)
    logits = torch.zeros(5, dtype=torch.double)  # D as a table

    outcomes = torch.arange(5)
    real, fake = (t.flatten()[:, None] for t in torch.meshgrid(outcomes, outcomes, indexing="ij"))
    weights = torch.outer(p, q).flatten()

    def value(table):
        return weights @ critic_logistic(lambda x: table[x[:, 0]], real, fake)

    for _ in range(50):
        gradient = torch.func.grad(value)(logits)
        logits = logits - torch.linalg.solve(torch.func.hessian(value)(logits), gradient)
    torch.testing.assert_close(logits, p.log() - q.log(), rtol=1e-6, atol=1e-9)
    m = (p + q) / 2
    jsd = (p * (p / m).log()).sum() / 2 + (q * (q / m).log()).sum() / 2
    torch.testing.assert_close(value(logits), 2 * jsd - math.log(4), rtol=1e-9, atol=1e-9)


# --- penalties ---


@pytest.fixture
def smooth():
    """A critic with second derivatives everywhere."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0)
    ).double()


def between(real, fake, seed):
    """The penalty's random points, drawn again."""
    torch.manual_seed(seed)
    u = torch.rand(len(real), 1, 1, 1, dtype=real.dtype)
    return (1 - u) * real + u * fake


def slopes(critic, x, h=1e-5):
    """Norms of the gradients by central differences in x: (B,)."""
    columns = []
    for j in range(x[0].numel()):
        e = torch.zeros_like(x[0]).flatten()
        e[j] = h
        e = e.view_as(x[0])
        columns.append((critic(x + e) - critic(x - e)) / (2 * h))
    return torch.stack(columns, 1).norm(dim=1)


@pytest.mark.parametrize("name", ["gradient_penalty", "r1_penalty"])
def test_penalties_against_finite_differences(smooth, name):
    """Values by differences in x; gradients (double backward) by differences in the parameters."""
    real, fake = torch.randn(2, 4, 1, 2, 3, dtype=torch.double)

    def penalty():
        torch.manual_seed(3)
        return gradient_penalty(smooth, real, fake) if "grad" in name else r1_penalty(smooth, real)

    def by_differences():
        with torch.no_grad():
            if name == "r1_penalty":
                return slopes(smooth, real).square() / 2
            return (slopes(smooth, between(real, fake, 3)) - 1).square()

    torch.testing.assert_close(penalty(), by_differences(), rtol=1e-6, atol=1e-8)
    smooth.zero_grad()
    penalty().sum().backward()
    h = 1e-4
    for p in smooth.parameters():
        if p.grad is None:  # the last bias shifts D and leaves its slope
            continue
        for i in range(p.numel()):
            with torch.no_grad():
                p.view(-1)[i] += h
                above = by_differences().sum()
                p.view(-1)[i] -= 2 * h
                below = by_differences().sum()
                p.view(-1)[i] += h
            expected = (above - below) / (2 * h)
            torch.testing.assert_close(p.grad.view(-1)[i], expected, rtol=1e-3, atol=1e-5)


def test_penalty_points_lie_on_the_lines_between_real_and_fake():
    """With D(x) = |x|^2 / 2 the slope is |x^|; from 0 to ones (8x8) that is 8 u, u uniform."""
    n = 20000
    ones = torch.ones(n, 1, 8, 8)
    seen = []

    def critic(x):
        seen.append(x.detach())
        return x.square().flatten(1).sum(1) / 2

    penalty = gradient_penalty(critic, torch.zeros_like(ones), ones)
    points = seen[0].flatten(1)  # (n, 64)
    assert (points.amax(1) == points.amin(1)).all()  # one u for all coordinates
    u = points[:, 0]
    torch.testing.assert_close(penalty, (8 * u - 1).square(), rtol=1e-4, atol=1e-4)
    assert abs(u.mean() - 1 / 2) < 4 * (1 / 12 / n) ** 0.5
    assert abs(u.square().mean() - 1 / 3) < 4 * (4 / 45 / n) ** 0.5


def test_weights_of_the_penalties():
    tilted = lambda x: x @ torch.tensor([3.0, 4.0])  # noqa: E731  slope 5 everywhere
    x = torch.zeros(2, 2)
    plain = critic_logistic(tilted, x, x)
    torch.testing.assert_close(
        plain - critic_logistic(tilted, x, x, r1=2.0), torch.full((2,), 25.0)
    )
    torch.testing.assert_close(
        critic_wasserstein(tilted, x, x, penalty=0.5), torch.full((2,), -8.0)
    )


def test_a_flat_critic_has_finite_gradients():
    critic = Critic.mlp((2,))
    with torch.no_grad():
        for p in critic.parameters():
            p.zero_()
    x = torch.randn(4, 2)
    (critic_wasserstein(critic, x, -x) - r1_penalty(critic, x)).sum().backward()
    assert all(p.grad.isfinite().all() for p in critic.parameters())


@pytest.mark.parametrize("objective", [critic_logistic, critic_wasserstein, critic_hinge])
def test_critic_objectives_name_bad_shapes(objective):
    x = torch.zeros(4, 2)
    with pytest.raises(ValueError, match=r"real, fake: got shapes \(4, 2\) and \(3, 2\)"):
        objective(first, x, x[:3])
    with pytest.raises(ValueError, match=r"D: returned shape \(4, 1\) for 4 examples"):
        objective(nn.Linear(2, 1), x, x)


@pytest.mark.parametrize(
    "objective", [generator_saturating, generator_non_saturating, generator_linear, r1_penalty]
)
def test_other_objectives_name_bad_shapes(objective):
    with pytest.raises(ValueError, match=r"D: returned shape \(4, 1\)"):
        objective(nn.Linear(2, 1), torch.zeros(4, 2))


# --- the step: Dirac-GAN ---


class Dirac(nn.Module):
    """A point mass at theta."""

    def __init__(self, theta):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([[theta]], dtype=torch.double))

    def rsample(self, n):
        return self.theta.expand(n, 1)

    def sample(self, n):
        return self.rsample(n).detach()


class Slope(nn.Module):
    """D(x) = psi x."""

    def __init__(self, psi):
        super().__init__()
        self.psi = nn.Parameter(torch.tensor([psi], dtype=torch.double))

    def forward(self, x):
        return x @ self.psi


def dirac_step(psi, theta, h, **options):
    sgd = lambda p: SGD(p, lr=h)  # noqa: E731
    options = {"generator_optimizer": sgd, "critic_optimizer": sgd} | options
    return adversarial_step(Dirac(theta), Slope(psi), **options)


def move(psi, theta, h, **options):
    step = dirac_step(psi, theta, h, **options)
    step((torch.zeros(1, 1, dtype=torch.double),))  # the data: a point mass at zero
    return torch.tensor([step.critic.psi.item(), step.generator.theta.item()], dtype=torch.double)


def eigenvalues_at_equilibrium(h, **options):
    e = 1e-4
    psi = (move(e, 0.0, h, **options) - move(-e, 0.0, h, **options)) / (2 * e)
    theta = (move(0.0, e, h, **options) - move(0.0, -e, h, **options)) / (2 * e)
    values = torch.linalg.eigvals(torch.stack([psi, theta], 1)).tolist()
    return sorted(values, key=lambda c: (c.imag, c.real))


def roots(trace, det):
    d = cmath.sqrt(trace**2 / 4 - det)
    return sorted([trace / 2 + d, trace / 2 - d], key=lambda c: (c.imag, c.real))


GAMES = [generator_saturating, generator_non_saturating]  # alike to first order at equilibrium


@pytest.mark.parametrize("generator_objective", GAMES)
@pytest.mark.parametrize("h", [0.1, 0.5])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.5])
def test_dirac_gan_simultaneous(h, gamma, generator_objective):
    """1 + h lambda, lambda = -gamma/2 +- sqrt(gamma^2/4 - 1/4): spirals out unless regularised."""
    found = eigenvalues_at_equilibrium(
        h,
        critic_objective=partial(critic_logistic, r1=gamma),
        generator_objective=generator_objective,
        simultaneous=True,
    )
    root = cmath.sqrt(gamma**2 / 4 - 1 / 4)
    expected = [1 + h * (-gamma / 2 + root), 1 + h * (-gamma / 2 - root)]
    expected.sort(key=lambda c: (c.imag, c.real))
    assert found == pytest.approx(expected, abs=1e-6)
    if gamma == 0:
        assert abs(found[0]) == pytest.approx(math.sqrt(1 + h**2 / 4), abs=1e-6)  # above 1


@pytest.mark.parametrize("generator_objective", GAMES)
@pytest.mark.parametrize("h", [0.1, 0.5])
@pytest.mark.parametrize("gamma", [0.0, 0.3])
def test_dirac_gan_alternating(h, gamma, generator_objective):
    """Trace 2 - h gamma - h^2/4 and determinant 1 - h gamma: on the unit circle without R1."""
    found = eigenvalues_at_equilibrium(
        h,
        critic_objective=partial(critic_logistic, r1=gamma),
        generator_objective=generator_objective,
    )
    assert found == pytest.approx(roots(2 - h * gamma - h**2 / 4, 1 - h * gamma), abs=1e-6)
    assert abs(found[0]) == pytest.approx(math.sqrt(1 - h * gamma), abs=1e-6)


def test_dirac_gan_with_two_critic_steps():
    """The critic moves by -h theta/2 twice, the generator once: determinant 1, trace 2 - h^2/2."""
    h, zeros = 0.2, torch.zeros(2, 1, dtype=torch.double)

    def two(psi, theta):
        step = dirac_step(psi, theta, h, critic_steps=2)
        step((zeros,))
        return [step.critic.psi.item(), step.generator.theta.item()]

    e = 1e-4
    columns = [two(e, 0.0), two(0.0, e)]
    matrix = torch.tensor(columns, dtype=torch.double).T / e
    expected = torch.tensor([[1, -h], [h / 2, 1 - h**2 / 2]], dtype=torch.double)
    torch.testing.assert_close(matrix, expected, atol=1e-4, rtol=0)


def test_r1_brings_the_dirac_gan_home_and_without_it_it_circles():
    far = {}
    for gamma in (0.0, 1.0):
        game = partial(critic_logistic, r1=gamma), generator_saturating
        names = "critic_objective", "generator_objective"
        step = dirac_step(0.0, 1.0, 0.2, **dict(zip(names, game, strict=True)))
        for _ in range(300):
            step((torch.zeros(1, 1, dtype=torch.double),))
        far[gamma] = math.hypot(step.critic.psi.item(), step.generator.theta.item())
    assert far[0.0] > 0.8
    assert far[1.0] < 1e-3


# --- the step: who moves, and by what ---


def new_step(seed=1, critic=None, **options):
    torch.manual_seed(seed)
    generator = Generator.mlp((2,), latent=3, hidden=(8,))
    return adversarial_step(generator, critic or Critic.mlp((2,), hidden=(8,)), **options)


def flat(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_a_step_against_one_written_by_hand():
    """Three rounds of two critic updates and one generator update, by torch.autograd.grad."""
    h, x = 0.1, torch.randn(3, 10, 2)
    sgd = lambda p: SGD(p, lr=h)  # noqa: E731
    step = new_step(critic_steps=2, generator_optimizer=sgd, critic_optimizer=sgd)
    torch.manual_seed(7)
    for batch in x:
        metrics = step((batch,))

    hand = new_step(critic_steps=2)  # the same players, moved by hand
    generator, critic = hand.generator, hand.critic
    torch.manual_seed(7)
    for batch in x:
        for part in (batch[:5], batch[5:]):
            fake = generator.network(torch.randn(5, 3))
            v = (critic(part).sigmoid().log() + (1 - critic(fake).sigmoid()).log()).mean()
            psi = list(critic.parameters())
            with torch.no_grad():
                for p, g in zip(psi, torch.autograd.grad(v, psi), strict=True):
                    p += h * g
        u = critic(generator.network(torch.randn(5, 3))).sigmoid().log().mean()
        theta = list(generator.parameters())
        with torch.no_grad():
            for p, g in zip(theta, torch.autograd.grad(u, theta), strict=True):
                p += h * g
    torch.testing.assert_close(flat(step.generator), flat(generator))
    torch.testing.assert_close(flat(step.critic), flat(critic))
    torch.testing.assert_close(metrics["critic"], v.detach())
    torch.testing.assert_close(metrics["generator"], u.detach())
    assert not metrics["critic"].requires_grad
    assert step.t == 3


@pytest.mark.parametrize("simultaneous", [False, True])
@pytest.mark.parametrize("still", ["generator", "critic"])
def test_one_player_moves_and_the_other_does_not_feel_it(still, simultaneous):
    """With a rate of zero a player's gradients must be those of its own objective, and no more."""
    rate = lambda h: lambda p: SGD(p, lr=h)  # noqa: E731
    step = new_step(
        generator_optimizer=rate(0.0 if still == "generator" else 0.5),
        critic_optimizer=rate(0.0 if still == "critic" else 0.5),
        critic_objective=partial(critic_logistic, r1=0.3),
        simultaneous=simultaneous,
    )
    x, before = torch.randn(6, 2), {k: flat(getattr(step, k)) for k in ("generator", "critic")}
    torch.manual_seed(7)
    step((x,))
    moved = "critic" if still == "generator" else "generator"
    assert torch.equal(flat(getattr(step, still)), before[still])
    assert not torch.equal(flat(getattr(step, moved)), before[moved])
    for player in ("generator", "critic"):
        assert all(p.grad is not None for p in getattr(step, player).parameters())

    if still == "critic":  # its gradient, at its own point, with the generator's old fakes
        old = new_step()
        torch.manual_seed(7)
        fake = old.generator.sample(6)
        value = partial(critic_logistic, r1=0.3)(old.critic, x, fake).mean()
        (-value).backward()
        for p, q in zip(step.critic.parameters(), old.critic.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad)


def test_the_critic_gets_constants_and_the_generator_a_graph():
    seen = {}

    def critic_objective(D, real, fake):
        seen["critic"] = fake
        return critic_logistic(D, real, fake)

    def generator_objective(D, fake):
        seen["generator"] = fake
        return generator_non_saturating(D, fake)

    new_step(critic_objective=critic_objective, generator_objective=generator_objective)(
        (torch.randn(6, 2),)
    )
    assert not seen["critic"].requires_grad
    assert seen["generator"].requires_grad
    assert not torch.equal(seen["critic"], seen["generator"])  # fresh draws


@pytest.mark.parametrize(("n", "sizes"), [(6, [2, 2, 1, 1]), (2, [1, 1, 1, 1])])
def test_the_critic_takes_all_its_steps(n, sizes):
    seen = []

    def objective(D, real, fake):
        seen.append(real)
        return critic_logistic(D, real, fake)

    x = torch.arange(2.0 * n).reshape(n, 2)
    step = adversarial_step(
        Generator.mlp((2,)), Critic.mlp((2,)), critic_objective=objective, critic_steps=4
    )
    step((x,))
    assert [len(part) for part in seen] == sizes
    assert {tuple(row.tolist()) for row in torch.cat(seen)} == {tuple(row.tolist()) for row in x}
    assert {int(s["step"]) for s in step.players["critic"].optimizer.state.values()} == {4}


def test_frozen_layers_stay_and_the_others_learn():
    generator, critic = Generator.mlp((2,)), Critic.mlp((2,))
    for player in (generator, critic):
        next(player.parameters()).requires_grad_(False)
    before = [flat(generator), flat(critic)]
    kept = [next(p.parameters()).clone() for p in (generator, critic)]
    adversarial_step(generator, critic)((torch.randn(8, 2),))
    for player, old, frozen in zip((generator, critic), before, kept, strict=True):
        assert torch.equal(next(player.parameters()), frozen)
        assert not torch.equal(flat(player), old)


def test_a_player_that_cannot_learn_is_named():
    for name in ("generator", "critic"):
        players = {"generator": Generator.mlp((2,)), "critic": Critic.mlp((2,))}
        players[name].requires_grad_(False)
        with pytest.raises(ValueError, match=f"{name}: got a .* with nothing to learn"):
            adversarial_step(**players)


@pytest.mark.parametrize("player", ["generator", "critic"])
def test_optimisers_that_need_more_than_a_step_are_refused(player):
    with pytest.raises(ValueError, match=f"{player}_optimizer: got LBFGS"):
        adversarial_step(
            Generator.mlp((2,)), Critic.mlp((2,)), **{f"{player}_optimizer": torch.optim.LBFGS}
        )


def test_penalties_without_gradients_are_the_same_numbers():
    critic, real, fake = Critic.mlp((2,)), torch.randn(4, 2), torch.randn(4, 2)
    for penalised in (
        critic_wasserstein,
        partial(critic_logistic, r1=1.0),
    ):
        torch.manual_seed(1)
        expected = penalised(critic, real, fake)
        torch.manual_seed(1)
        with torch.no_grad():
            value = penalised(critic, real, fake)
        torch.testing.assert_close(value, expected.detach())
        assert expected.requires_grad
        assert not value.requires_grad


def test_the_average_is_exponential():
    step, m = new_step(ema=0.8, lr=0.05), 0.8
    path = [flat(step.generator)]
    for _ in range(6):
        step((torch.randn(6, 2),))
        path.append(flat(step.generator))
    weights = [m**6] + [(1 - m) * m ** (6 - t) for t in range(1, 7)]
    expected = sum(w * theta for w, theta in zip(weights, path, strict=True))
    torch.testing.assert_close(flat(step.average), expected)
    assert not step.average.sample(2).requires_grad


def test_the_average_takes_no_part_in_training():
    steps = [new_step(ema=ema) for ema in (0.0, 0.9)]
    for step in steps:
        torch.manual_seed(3)
        for x in torch.randn(4, 6, 2):
            step((x,))
    assert torch.equal(flat(steps[0].generator), flat(steps[1].generator))
    torch.testing.assert_close(flat(steps[0].average), flat(steps[0].generator))  # ema = 0


def test_the_average_has_the_buffers_of_the_generator():
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    step = adversarial_step(Generator(network, latent=3, shape=(2,)), Critic.mlp((2,), hidden=(8,)))
    step((torch.randn(6, 2),))
    for mean, now in zip(step.average.buffers(), step.generator.buffers(), strict=True):
        assert torch.equal(mean, now)


# --- through fit ---


class InterruptAt(Step):
    """A step that is interrupted by Ctrl-C at its n-th call."""

    def __init__(self, step, n):
        self.step, self.n = step, n
        self.state_dict, self.load_state_dict = step.state_dict, step.load_state_dict

    def __call__(self, batch):
        self.n -= 1
        if self.n == 0:
            raise KeyboardInterrupt
        return self.step(batch)


def tensors(state):
    """All tensors of a nested state, in order."""
    if isinstance(state, torch.Tensor):
        return [state]
    parts = state.values() if isinstance(state, dict) else state
    nested = (dict, list, tuple, torch.Tensor)
    return [t for part in parts if isinstance(part, nested) for t in tensors(part)]


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path):
    """Two players, spectral norm's vectors, the average, both Adams and the random state."""
    ring = data.load("ring", device="cpu").train.batches(1000)

    def regular():
        torch.manual_seed(1)
        critic = Critic.mlp((2,), hidden=(8,), spectral_norm=True)
        games = {"critic_objective": critic_hinge, "generator_objective": generator_linear}
        return new_step(critic=critic, critic_steps=2, **games)

    whole = regular()
    expected = fit(whole, ring, epochs=4, progress=False)
    file = tmp_path / "run.pt"
    assert fit(
        InterruptAt(regular(), 10), ring, epochs=4, checkpoint=file, progress=False
    ).interrupted

    again = new_step(
        seed=9,
        critic=Critic.mlp((2,), hidden=(8,), spectral_norm=True),
        critic_objective=critic_hinge,
        generator_objective=generator_linear,
        critic_steps=2,
    )
    torch.manual_seed(1234)  # a fresh process has another random state
    history = fit(again, ring, epochs=4, checkpoint=file, progress=False)
    assert history.metrics == expected.metrics
    pairs = list(zip(tensors(again.state_dict()), tensors(whole.state_dict()), strict=True))
    assert len(pairs) > 20
    assert all(torch.equal(a, b) for a, b in pairs)
    assert torch.equal(flat(again.average), flat(whole.average))
    assert again.t == whole.t == 16


def test_a_gan_learns_a_normal_distribution():
    torch.manual_seed(0)
    x = 1 + 0.5 * torch.randn(2000, 1)
    step = adversarial_step(
        Generator.mlp((1,), latent=1, hidden=()),
        Critic.mlp((1,), hidden=(32, 32)),
        partial(critic_logistic, r1=0.1),
        lr=5e-3,
    )
    fit(step, [(part,) for part in x.split(200)], epochs=60, progress=False)
    samples = step.average.sample(4000)
    assert samples.mean() == pytest.approx(1.0, abs=0.1)
    assert samples.std() == pytest.approx(0.5, abs=0.1)


def test_labels_reach_both_players():
    torch.manual_seed(0)
    y = torch.arange(2).repeat(1000)
    x = (4.0 * y - 2)[:, None] + 0.3 * torch.randn(2000, 1)
    step = adversarial_step(
        Generator.mlp((1,), latent=1, hidden=(16,), classes=2),
        Critic.mlp((1,), hidden=(32,), classes=2),
        partial(critic_logistic, r1=0.1),
        lr=1e-2,
        critic_steps=2,
    )
    batches = list(zip(x.split(200), y.split(200), strict=True))
    fit(step, batches, epochs=40, progress=False)
    means = step.average.sample(2000, y).view(-1, 2).mean(0)
    torch.testing.assert_close(means, torch.tensor([-2.0, 2.0]), atol=0.3, rtol=0)


def test_fit_refuses_data_that_are_not_finite():
    with pytest.raises(ValueError, match="not finite"):
        fit(new_step(), [(torch.full((4, 2), float("nan")),)], epochs=1, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.0}, "lr: got 0.0, expected a positive"),
        ({"critic_steps": 0}, "critic_steps: got 0, expected an integer"),
        ({"critic_steps": 2, "simultaneous": True}, "critic_steps: got 2, expected 1"),
        ({"ema": 1.0}, "ema: got 1.0, expected at least 0 and less than 1"),
        (
            {"critic": Critic.mlp((2,), classes=3)},
            "generator, critic: got 0 and 3 classes, expected as many",
        ),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        new_step(**options)


def test_everything_is_exported():
    assert objectives.critic_logistic is critic_logistic
    assert set(objectives.__all__) >= {"critic_wasserstein", "generator_linear", "r1_penalty"}
