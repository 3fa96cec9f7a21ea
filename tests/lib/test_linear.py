"""PPCA: against dense Gaussians, scikit-learn, its own EM, and its own gradient."""

import math

import pytest
import torch
from sklearn.decomposition import PCA as SklearnPCA
from torch.distributions import MultivariateNormal, kl_divergence

from dgm import objectives
from dgm.evaluate import principal_angles
from dgm.models import PCA, PPCA
from dgm.train import gradient_step

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture
def cloud():
    """300 points in R^6, two directions of large variance."""
    return torch.randn(300, 6) @ torch.diag(torch.tensor([3.0, 2.5, 1.2, 1.1, 1.0, 1.0])) @ (
        torch.linalg.qr(torch.randn(6, 6)).Q
    ) + torch.arange(6.0)


def random_ppca(shape=(6,), latent=2, variance=0.3):
    model = PPCA(shape, latent)
    with torch.no_grad():
        model.weight.normal_()
        model.mean.normal_()
        model.log_variance.fill_(math.log(variance))
    return model


def dense(model):
    """N(mu, W W^T + sigma^2 I) with the D x D covariance written out."""
    d = len(model.mean)
    covariance = model.weight @ model.weight.T + model.log_variance.exp() * torch.eye(d)
    return MultivariateNormal(model.mean, covariance)


def random_gaussians(n, m):
    factor = 0.3 * torch.randn(n, m, m)
    return MultivariateNormal(torch.randn(n, m), factor @ factor.mT + 0.1 * torch.eye(m))


def expected_log_likelihood(model, x, q):
    """E_q[log p(x | z)], exactly: it is quadratic in z, so 2m points with q's moments suffice."""
    m = q.event_shape[0]
    shift = math.sqrt(m) * q.scale_tril.mT  # (B, m, m), rows
    z = torch.cat([q.mean.unsqueeze(1) + shift, q.mean.unsqueeze(1) - shift], 1)  # (B, 2m, m)
    return model.likelihood(z.movedim(1, 0)).log_prob(x).mean(0)


def standard_normal(m):
    return MultivariateNormal(torch.zeros(m), torch.eye(m))


@pytest.mark.parametrize(("shape", "latent"), [((6,), 2), ((1, 2, 3), 4), ((2,), 2), ((1,), 1)])
def test_log_prob_is_the_dense_gaussian(shape, latent):
    model = random_ppca(shape, latent)
    x = torch.randn(4, 5, *shape)
    expected = dense(model).log_prob(x.flatten(2))
    torch.testing.assert_close(model.log_prob(x), expected, rtol=1e-12, atol=1e-12)


def test_log_prob_in_float32_with_little_noise():
    """sigma = 1e-3: the textbook form x^T C^-1 x is a difference of numbers around 1e6.

    torch's LowRankMultivariateNormal is off by 10 nats here, a dense covariance by 1.6.
    """
    model = random_ppca(latent=2, variance=1e-6)
    x = model.sample(100)
    exact = model.log_prob(x)
    error = model.float().log_prob(x.float()) - exact
    assert error.abs().max() < 0.01


def test_posterior_is_the_conditional_of_the_joint_gaussian():
    model = random_ppca(latent=3)
    w, x = model.weight, torch.randn(5, 6)
    gain = w.T @ torch.linalg.inv(dense(model).covariance_matrix)  # Cov(z, x) Cov(x)^-1
    posterior = model.posterior(x)
    torch.testing.assert_close(posterior.mean, (x - model.mean) @ gain.T)
    torch.testing.assert_close(
        posterior.covariance_matrix, (torch.eye(3) - gain @ w).expand(5, 3, 3)
    )


def test_bayes_rule_holds_at_every_code():
    model = random_ppca((1, 2, 3))
    x, z = torch.randn(5, 1, 2, 3), torch.randn(7, 5, 2)
    joint = model.prior().log_prob(z) + model.likelihood(z).log_prob(x)
    torch.testing.assert_close(
        joint - model.posterior(x).log_prob(z), model.log_prob(x).expand(7, 5)
    )


def test_log_prob_is_elbo_plus_kl():
    model, x, q = random_ppca(latent=3), torch.randn(5, 6), random_gaussians(5, 3)
    elbo = expected_log_likelihood(model, x, q) - kl_divergence(q, standard_normal(3))
    gap = kl_divergence(q, model.posterior(x))
    assert (gap > 0.1).all()
    torch.testing.assert_close(elbo + gap, dense(model).log_prob(x), rtol=1e-12, atol=1e-12)


def test_closed_form_agrees_with_scikit_learn(cloud):
    ours, theirs = PPCA((6,), latent=2).fit(cloud), SklearnPCA(2).fit(cloud.numpy())
    n = len(cloud)
    theirs.explained_variance_ *= (n - 1) / n  # scikit-learn divides by n - 1; the maximum of the
    theirs.noise_variance_ *= (n - 1) / n  #     likelihood has n
    torch.testing.assert_close(ours.log_variance.exp().item(), float(theirs.noise_variance_))
    torch.testing.assert_close(
        ours.log_prob(cloud).detach(), torch.as_tensor(theirs.score_samples(cloud.numpy()))
    )


def test_closed_form_is_a_stationary_maximum(cloud):
    model = PPCA((6,), latent=2).fit(cloud)
    best = model.log_prob(cloud).mean()
    best.backward()
    assert all(p.grad.abs().max() < 1e-10 for p in model.parameters())
    for _ in range(20):
        other = PPCA((6,), latent=2)
        other.load_state_dict(
            {k: v + 0.01 * torch.randn_like(v) for k, v in model.state_dict().items()}
        )
        assert other.log_prob(cloud).mean() < best


def test_em_is_monotone_and_ends_at_the_closed_form(cloud):
    best = PPCA((6,), latent=2).fit(cloud)
    model = PPCA((6,), latent=2).initialize(cloud)
    values = []
    for _ in range(60):
        values.append(model.log_prob(cloud).mean().item())
        model.m_step(cloud, model.e_step(cloud))
    steps = torch.tensor(values).diff()
    assert (steps > -1e-12).all()
    assert steps[0] > 1e-2
    assert values[-1] == pytest.approx(best.log_prob(cloud).mean().item(), abs=1e-9)
    assert principal_angles(model.weight.detach().T, best.weight.detach().T).max() < 1e-5
    torch.testing.assert_close(model.log_variance, best.log_variance)


def test_m_step_maximises_the_expected_complete_likelihood(cloud):
    """For any Gaussian q, not the posterior alone, and from any mean."""
    model, q = random_ppca(latent=2), random_gaussians(len(cloud), 2)
    model.m_step(cloud, q)
    expected_log_likelihood(model, cloud, q).mean().backward()
    assert all(p.grad.abs().max() < 1e-10 for p in model.parameters())


@pytest.mark.parametrize("latent", [5, 6])
def test_without_a_direction_left_out_the_covariance_is_matched(cloud, latent):
    model = PPCA((6,), latent).fit(cloud)
    torch.testing.assert_close(dense(model).covariance_matrix, cloud.T.cov(correction=0))


def test_samples_have_the_moments_of_the_model():
    model, n = random_ppca((1, 2, 3)), 20_000
    x = model.sample(n)
    assert x.shape == (n, 1, 2, 3)
    exact, flat = dense(model), x.flatten(1)
    z = (flat.mean(0) - exact.mean) / (exact.variance / n).sqrt()
    assert z.abs().max() < 4
    # of n draws of a Gaussian the sample covariance has variance (S_ij^2 + S_ii S_jj) / n
    s = exact.covariance_matrix
    spread = ((s.square() + s.diagonal().outer(s.diagonal())) / n).sqrt()
    assert ((flat.T.cov() - s) / spread).abs().max() < 4


def test_gradient_ascent_climbs_towards_the_maximum(cloud, monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    model, best = PPCA((6,), latent=2).initialize(cloud), PPCA((6,), latent=2).fit(cloud)
    step = gradient_step(model, objectives.log_likelihood, lr=0.1)
    values = [step((cloud,))["objective"].item() for _ in range(60)]
    top = best.log_prob(cloud).mean().item()
    assert values[0] < top - 0.5
    assert top - 0.05 < values[-1] < top


def test_noise_has_a_floor():
    line = torch.randn(50, 1) * torch.tensor([1.0, 2.0, 3.0])
    closed, em = PPCA((3,), latent=1).fit(line), PPCA((3,), latent=1).initialize(line)
    for _ in range(100):
        em.m_step(line, em.e_step(line))
    for model in (closed, em):
        assert model.log_variance.exp().item() == pytest.approx(1e-6)
        assert model.log_prob(line).isfinite().all()


@pytest.mark.parametrize("constant", [2, 3])
def test_constant_coordinates(constant):
    x = torch.randn(5, 3)
    x[:, :constant] = 7
    for model in (PPCA((3,), latent=2).fit(x), PPCA((3,), latent=2).initialize(x)):
        model.m_step(x, model.e_step(x))
        assert model.log_prob(x).isfinite().all()
        assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: PPCA((6,), latent=0), "latent: got 0, expected an integer of at least 1"),
        (lambda: PPCA((6,), latent=7), "latent: got 7, expected 1 to 6"),
        (lambda: PPCA((6,), floor=0.0), "floor: got 0.0, expected a positive"),
        (lambda: PPCA((6,)).fit(torch.zeros(9, 5)), r"x: got shape \(9, 5\)"),
        (lambda: PPCA((6,), latent=4).fit(torch.zeros(3, 6)), "N of at least 4"),
        (lambda: PPCA((6,)).initialize(torch.zeros(0, 6)), "x: got 0 examples"),
        (lambda: PPCA((6,)).log_prob(torch.zeros(9, 1)), r"x: got shape \(9, 1\)"),
    ],
)
def test_bad_input(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_pca_and_ppca_span_the_same_subspace(cloud):
    pca, ppca = PCA((6,), latent=2).fit(cloud), PPCA((6,), latent=2).fit(cloud)
    assert principal_angles(pca.components, ppca.weight.detach().T).max() < 1e-10
    # and as the noise vanishes the posterior mean is the projection, up to the scale of z
    with torch.no_grad():
        ppca.log_variance.fill_(math.log(1e-10))
    projected = ppca.likelihood(ppca.posterior(cloud).mean).mean
    torch.testing.assert_close(projected, pca(cloud), rtol=1e-6, atol=1e-6)
