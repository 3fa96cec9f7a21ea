"""The likelihood of a denoiser as a flow, against densities that are known."""

from itertools import product

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from dgm import paths
from dgm.denoisers import NoisedMixture
from dgm.evaluate import hutchinson, ode_log_prob
from dgm.models import Diffusion


def mixture():
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    means = torch.tensor([[-1.0, 0.3], [0.6, -0.8]], dtype=torch.float64)
    return MixtureSameFamily(Categorical(weights), Independent(Normal(means, 0.3), 1))


@pytest.mark.parametrize(
    ("path", "error"),
    [(paths.cosine(), 8e-3), (paths.linear(), 8e-3), (paths.exploding(1e-3, 1e3), 0.06)],
    ids=["cosine", "linear", "exploding"],
)
def test_the_exact_flow_has_the_exact_likelihood(path, error):
    """Up to the noise that is left at the data's end and the solver, which is of second order."""
    x = torch.tensor([[-1.0, 0.3], [0.2, 0.1], [1.0, -1.0]], dtype=torch.float64)
    model = NoisedMixture(mixture(), path)
    value = ode_log_prob(model, x, steps=100, log_snr=(-12.0, 12.0))
    assert (value - mixture().log_prob(x)).abs().max() < error


def test_hutchinson_is_the_trace_on_average_over_all_signs():
    torch.manual_seed(0)
    a, x = torch.randn(4, 4, dtype=torch.float64), torch.randn(1, 4, dtype=torch.float64)
    signs = torch.tensor([*product([-1.0, 1.0], repeat=4)], dtype=torch.float64)
    values = torch.stack([hutchinson(lambda x: x @ a.T, x, v[None])[1] for v in signs])
    torch.testing.assert_close(values.mean(), a.trace())


def test_probes_agree_with_the_trace():
    torch.manual_seed(0)
    x = mixture().sample((400,))
    model = NoisedMixture(mixture())
    exact = ode_log_prob(model, x, steps=20)
    several = ode_log_prob(model, x, steps=20, probes=2)
    difference = several - exact
    assert difference.std() > 0.01  # they differ for each x
    assert abs(difference.mean()) < 4 * difference.std() / 20


def test_units_are_those_of_the_data():
    """A network that knows nothing: data from N(mean, scale^2)."""
    model = Diffusion.mlp((2,), width=4, blocks=1).double()
    model.mean.fill_(0.4), model.scale.fill_(0.2)
    x = torch.tensor([[0.4, 0.5], [0.2, 0.9]], dtype=torch.float64)
    expected = Normal(0.4, 0.2).log_prob(x).sum(1)
    torch.testing.assert_close(ode_log_prob(model, x, steps=10), expected, rtol=0, atol=2e-4)


def test_without_probes_only_in_few_dimensions():
    model = Diffusion.conv((1, 5, 5), width=4)
    with pytest.raises(ValueError, match="^probes: got None for events of 25 coordinates"):
        ode_log_prob(model, torch.zeros(2, 1, 5, 5))
    assert ode_log_prob(model, torch.zeros(2, 1, 5, 5), steps=1, probes=1).shape == (2,)
    with pytest.raises(ValueError, match="^probes: got 0"):
        ode_log_prob(model, torch.zeros(2, 1, 5, 5), probes=0)
    with pytest.raises(ValueError, match="^steps: got 0"):
        ode_log_prob(model, torch.zeros(2, 1, 5, 5), steps=0, probes=1)
