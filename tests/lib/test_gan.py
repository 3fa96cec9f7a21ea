"""Generator and critic: shapes, labels, spectral norm against the SVD, no constant left behind."""

import pytest
import torch
from torch import nn

from dgm import objectives
from dgm.models import Critic, Generator

KINDS = ["mlp", "conv", "residual"]
CASES = [("mlp", (2,)), *((kind, (1, 8, 8)) for kind in KINDS)]


def players(kind, shape, **options):
    return tuple(getattr(cls, kind)(shape, **options) for cls in (Generator, Critic))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(("kind", "shape"), CASES)
@pytest.mark.parametrize("classes", [0, 3])
def test_both_games_on_the_meta_device(kind, shape, classes):
    """A tensor made on the CPU inside the models would meet one on `meta` and raise."""
    generator = getattr(Generator, kind)(shape, classes=classes).to("meta")
    critic = getattr(Critic, kind)(shape, classes=classes, spectral_norm=True).to("meta")
    y = (torch.zeros(4, dtype=torch.long, device="meta"),) if classes else ()
    x, judge = torch.empty(4, *shape, device="meta"), lambda x: critic(x, *y)
    fake = generator.rsample(4, *y)
    objectives.generator_non_saturating(judge, fake).sum().backward()
    objectives.critic_wasserstein(judge, x, fake.detach()).sum().backward()
    objectives.critic_logistic(judge, x, fake.detach(), r1=1.0).sum().backward()
    assert all(p.grad is not None for m in (generator, critic) for p in m.parameters())


def test_sample_is_rsample_without_its_graph():
    generator = Generator.mlp((2,))
    torch.manual_seed(1)
    kept = generator.rsample(6)
    torch.manual_seed(1)
    plain = generator.sample(6)
    assert torch.equal(kept, plain)
    assert kept.requires_grad
    assert not plain.requires_grad


def test_noise_is_standard_normal():
    generator = Generator(nn.Identity(), latent=3, shape=(3,))
    z, n = generator.sample(20000), 20000
    assert z.mean(0).abs().max() < 4 / n**0.5
    assert (z.T.cov() - torch.eye(3)).abs().max() < 4 * (2 / n) ** 0.5
    assert (generator.prior().log_prob(z[:5]) + z[:5].square().sum(1) / 2).std() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_spectral_norm_divides_by_the_largest_singular_value(kind):
    critic = getattr(Critic, kind)((1, 8, 8), spectral_norm=True)
    for _ in range(200):  # of power iteration, one per call
        critic(torch.rand(2, 1, 8, 8))
    critic.eval()
    layers = [m for m in critic.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert len(layers) == {"mlp": 3, "conv": 2, "residual": 4}[kind]
    for layer in layers:
        raw = layer.parametrizations.weight.original
        sigma = torch.linalg.svdvals(raw.flatten(1))[0]
        torch.testing.assert_close(layer.weight, raw / sigma, rtol=1e-3, atol=1e-5)


def test_spectral_norm_bounds_the_slope_of_an_mlp():
    critic = Critic.mlp((2,), spectral_norm=True)
    with torch.no_grad():
        for p in critic.parameters():
            p.mul_(10)  # the bound must hold wherever training goes
        a, b = 5 * torch.randn(2000, 2), 5 * torch.randn(2000, 2)
        for _ in range(200):
            critic(a)
        critic.eval()
        slope = (critic(a) - critic(b)).abs() / (a - b).norm(dim=1)
    assert slope.max() <= 1.001


def test_labels_choose_what_is_made_and_how_it_is_judged():
    generator, critic = players("mlp", (2,), classes=3)
    z, y = torch.randn(1, 32).expand(3, 32), torch.tensor([0, 1, 2])
    x = generator(z, y)
    assert torch.pdist(x).min() > 1e-3  # one code, three classes: three events
    same = critic(x[:1].expand(3, 2), y)
    torch.testing.assert_close(same, critic.logits(critic.features(x[0])))
    torch.manual_seed(1)
    drawn = generator.sample(3, y.flip(0))
    torch.manual_seed(1)
    torch.testing.assert_close(drawn, generator(generator.prior().sample((3,)), y.flip(0)))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Generator.mlp((2,), latent=0), "latent: got 0, expected an integer"),
    ],
)
def test_bad_input(act, message):
    with pytest.raises(ValueError, match=message):
        act()
