"""The VAE: what each estimator learns, and how its parts are put together."""

from functools import partial

import pytest
import torch
from torch import nn

from dgm import evaluate, heads, models, nets
from dgm.architectures import Convolution
from dgm.estimators import exact, gumbel_softmax, pathwise, score_function, straight_through
from dgm.objectives import elbo, iwae
from dgm.train import fit, gradient_step

VAE = models.VAE
leave_one_out = partial(score_function, baseline="leave-one-out")
SHAPE = (1, 8, 8)


@pytest.fixture(autouse=True)
def cpu(monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    torch.manual_seed(0)


# a posterior, its size of code, and the estimators that serve it
POSTERIORS = {
    "DiagonalNormal": (heads.DiagonalNormal, 2, [pathwise, score_function]),
    "FullNormal": (heads.FullNormal, 3, [pathwise, score_function]),
    "Bernoulli": (
        heads.Bernoulli,
        4,
        [leave_one_out, gumbel_softmax, straight_through, exact],
    ),
    "OneHotCategorical": (
        heads.OneHotCategorical,
        4,
        [leave_one_out, gumbel_softmax, straight_through, exact],
    ),
}


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_training_raises_every_objective(posterior):
    """Four images, learned by heart: a bound on log p rises by nats, whatever the estimator."""
    head, latent, estimators = POSTERIORS[posterior]
    x = torch.bernoulli(torch.full((4, *SHAPE), 0.3))
    for estimator in estimators:
        for bound in (elbo, iwae):
            if bound is iwae and estimator is gumbel_softmax:
                continue  # refused
            torch.manual_seed(1)
            model = VAE.mlp(SHAPE, latent=latent, hidden=(32,), posterior=head)
            objective = partial(bound, k=4, estimator=estimator)
            if estimator is exact:
                objective = partial(bound, k=1, estimator=estimator)
            step = gradient_step(model, objective, lr=1e-2)
            history = fit(step, [(x,)] * 20, epochs=2, progress=False)
            assert history["objective"][1] > history["objective"][0] + 5


def test_codes_of_several_choices():
    model = VAE.mlp(SHAPE, latent=(3, 5), posterior=heads.OneHotCategorical, hidden=(16,))
    x = model.sample(4)
    assert model.posterior(x).event_shape == (3, 5)
    assert elbo(model, x, k=2, estimator=leave_one_out).shape == (4,)
    step = gradient_step(model, partial(elbo, estimator=gumbel_softmax))
    assert step((x,))["objective"].isfinite()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_a_step_on_the_gpu(posterior):
    head, latent, estimators = POSTERIORS[posterior]
    model = VAE.mlp(SHAPE, latent=latent, posterior=head).cuda()
    x = model.sample(5)
    assert x.is_cuda
    for estimator in estimators:
        elbo(model, x, k=2, estimator=estimator).sum().backward()


def test_a_sample_is_a_code_from_the_prior_decoded_and_drawn():
    """A decoder that copies the code: pixels are then as the prior's bits, one in four both one."""

    class Copy(nn.Module):
        def forward(self, z):
            return torch.distributions.Independent(
                torch.distributions.Bernoulli(logits=40 * (z - 0.5), validate_args=False), 1
            )

    model = VAE(heads.Bernoulli(2, 2), Copy(), heads.FairCoins(2), (2,))
    x = model.sample(4000)
    both = (x.sum(1) == 2).float()
    assert (both.mean() - 0.25).abs() < 4 * (0.25 * 0.75 / 4000) ** 0.5


def test_parts_can_be_swapped_by_hand():
    encoder = nn.Sequential(nets.mlp(SHAPE, 16), heads.DiagonalNormal(16, 2))
    decoder = nn.Sequential(Convolution(4).decoder(2, SHAPE), heads.Bernoulli((4, 8, 8), SHAPE))
    model = VAE(encoder, decoder, heads.StandardNormal(2), SHAPE)
    assert elbo(model, model.sample(3)).shape == (3,)


def test_the_posteriors_mean_is_the_code():
    model = VAE.mlp(SHAPE, latent=2)
    x = model.sample(3)
    torch.testing.assert_close(evaluate.encode(model, x), model.posterior(x).mean)


@pytest.mark.parametrize(
    ("prior", "log_mass"),
    [
        (heads.StandardNormal(3), torch.distributions.Normal(0, 1).log_prob(torch.ones(3)).sum()),
        (heads.FairCoins(3), torch.tensor(1 / 8).log()),
        (heads.FairCoins((2, 3)), torch.tensor(1 / 64).log()),
        (heads.UniformOneHot(5), torch.tensor(1 / 5).log()),
        (heads.UniformOneHot((2, 5)), torch.tensor(1 / 25).log()),
    ],
)
def test_priors_have_no_parameters_and_the_right_density(prior, log_mass):
    assert not list(prior.parameters())
    p = prior()
    z = p.sample((4,))
    assert p.support.check(z).all()
    if isinstance(prior, heads.StandardNormal):
        z = torch.ones(4, 3)
    torch.testing.assert_close(p.log_prob(z), log_mass.expand(4))
