"""Mixtures: against scikit-learn, full enumeration, autograd, and data that break EM."""

import math

import pytest
import torch
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.naive_bayes import BernoulliNB
from torch.distributions import (
    Categorical,
    MixtureSameFamily,
    MultivariateNormal,
    OneHotCategorical,
    kl_divergence,
)
from torch.nn.functional import one_hot

from dgm import objectives
from dgm.checks import check_data
from dgm.models import BernoulliMixture, GaussianMixture
from dgm.train import gradient_step

KINDS = ["full", "diagonal", "spherical"]


pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture
def cloud():
    """Three clusters in the plane that overlap."""
    centres = torch.tensor([[0.0, 0.0], [3.0, 1.0], [-1.0, 3.0]])
    stretch = torch.tensor([[1.0, 0.4], [0.0, 0.6]])
    return (centres.unsqueeze(1) + torch.randn(3, 60, 2) @ stretch).flatten(0, 1)


@pytest.fixture
def binary():
    """Draws of three prototypes of 8 pixels."""
    p = torch.rand(3, 8) * 0.8 + 0.1
    return torch.bernoulli(p.repeat_interleave(50, 0))


def all_binary(d):
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * d)


def run_em(model, x, steps):
    """The mean log-likelihood before each step."""
    values = []
    for _ in range(steps):
        values.append(model.log_prob(x).mean().item())
        model.m_step(x, model.e_step(x))
    return torch.tensor(values)


def random_q(n, k):
    return OneHotCategorical(probs=torch.rand(n, k))


def expected_joint(model, x, q):
    """E_q[log p(x, z)], summed over the values of z."""
    z = torch.eye(model.components)
    log_p = model.likelihood(z).log_prob(x.unsqueeze(1)) + model.prior().log_prob(z)
    return (q.probs * log_p).sum(1)


MODELS = {
    "full": lambda shape=(2,), k=3: GaussianMixture(shape, k, "full"),
    "diagonal": lambda shape=(2,), k=3: GaussianMixture(shape, k, "diagonal"),
    "spherical": lambda shape=(2,), k=3: GaussianMixture(shape, k, "spherical"),
    "bernoulli": lambda shape=(8,), k=3: BernoulliMixture(shape, k),
}


@pytest.fixture(params=MODELS)
def case(request, cloud, binary):
    x = binary if request.param == "bernoulli" else cloud
    model = MODELS[request.param]().initialize(x)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model, x


# What every mixture does


def test_log_prob_is_elbo_plus_kl(case):
    model, x = case
    q = random_q(len(x), 3)
    elbo = expected_joint(model, x, q) + q.entropy()
    gap = kl_divergence(q, model.posterior(x))
    torch.testing.assert_close(elbo + gap, model.log_prob(x), rtol=1e-12, atol=1e-12)
    assert gap.mean() > 0.1


def test_log_prob_agrees_with_torch(case):
    model, x = case
    parts = model.likelihood(torch.eye(3))
    whole = MixtureSameFamily(Categorical(model.weights), parts, validate_args=False)
    torch.testing.assert_close(model.log_prob(x), whole.log_prob(x), rtol=1e-12, atol=1e-12)


def test_posterior_is_joint_over_evidence(case):
    model, x = case
    torch.testing.assert_close(
        model.posterior(x).probs, (model.log_joint(x).exp().T / model.log_prob(x).exp()).T
    )


def test_m_step_maximises_the_expected_complete_likelihood(case):
    """For any q; the weights' logits have a gradient that sums to zero by themselves."""
    model, x = case
    q = random_q(len(x), 3)
    model.m_step(x, q)
    expected_joint(model, x, q).mean().backward()
    assert all(p.grad.abs().max() < 1e-10 for p in model.parameters())


def test_em_is_monotone(case):
    model, x = case
    steps = run_em(model, x, 15).diff()
    assert (steps > -1e-12).all()
    assert steps[0] > 1e-3


def test_gradient_ascent_raises_the_likelihood(case, monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    model, x = case
    step = gradient_step(model, objectives.log_likelihood, lr=0.01)
    values = [step((x,))["objective"].item() for _ in range(20)]
    assert values[-1] > values[0] + 0.005
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_images(name):
    """Flattened inside; with the events in the plane of their coordinates nothing else changes."""
    image, flat = MODELS[name]((1, 2, 4)), MODELS[name]((8,))
    flat.load_state_dict(image.state_dict())
    x = torch.bernoulli(torch.full((20, 1, 2, 4), 0.5))
    image.m_step(x, random_q(20, 3))
    flat.load_state_dict(image.state_dict())
    torch.testing.assert_close(image.log_prob(x), flat.log_prob(x.flatten(1)))
    assert image.log_prob(x.expand(5, 20, 1, 2, 4)).shape == (5, 20)
    assert image.sample(6).shape == (6, 1, 2, 4)
    check_data(image, x)


def test_initialize_depends_on_the_seed_alone(case):
    model, x = case
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(torch.cat([p.flatten() for p in model.initialize(x).parameters()]).clone())
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_initialize_spreads_the_means():
    """Four tight clusters, far apart: one start in each, whatever the seed."""
    corners = 100 * torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    x = corners.repeat(25, 1) + 0.01 * torch.randn(100, 2)
    for seed in range(10):
        torch.manual_seed(seed)
        mean = GaussianMixture((2,), 4).initialize(x).mean
        assert (torch.cdist(corners, mean.detach()).amin(1) < 0.1).all()


# Gaussians


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 7])
def test_em_follows_scikit_learn(cloud, kind, steps):
    """The same start, the same number of steps: the same parameters."""
    model = GaussianMixture((2,), 3, kind).initialize(cloud)
    with torch.no_grad():
        model.weight_logits.copy_(torch.tensor([0.2, 0.3, 0.5]).log())
    covariance = model.covariances().detach()
    precision = {
        "full": torch.linalg.inv(covariance),
        "diagonal": 1 / covariance.diagonal(dim1=1, dim2=2),
        "spherical": 1 / covariance[:, 0, 0],
    }[kind]
    theirs = SklearnGaussianMixture(
        3,
        covariance_type={"diagonal": "diag"}.get(kind, kind),
        weights_init=model.weights.detach().numpy(),
        means_init=model.mean.detach().numpy().copy(),
        precisions_init=precision.numpy(),
        reg_covar=0,
        tol=0,
        max_iter=steps,
    )
    with pytest.warns(match="did not converge"):
        theirs.fit(cloud.numpy())
    run_em(model, cloud, steps)
    torch.testing.assert_close(model.weights.detach(), torch.as_tensor(theirs.weights_))
    torch.testing.assert_close(model.mean.detach(), torch.as_tensor(theirs.means_))
    log_p = torch.as_tensor(theirs.score_samples(cloud.numpy()))
    torch.testing.assert_close(model.log_prob(cloud).detach(), log_p)


@pytest.mark.parametrize("kind", KINDS)
def test_covariances_are_those_of_the_density(kind, cloud):
    model = GaussianMixture((2,), 3, kind).initialize(cloud)
    run_em(model, cloud, 3)
    dense = MultivariateNormal(model.mean, model.covariances())
    log_p = (model.weights * dense.log_prob(cloud.unsqueeze(1)).exp()).sum(1).log()
    torch.testing.assert_close(model.log_prob(cloud), log_p)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_have_the_moments_of_the_mixture(kind, cloud):
    model, n = GaussianMixture((2,), 3, kind).initialize(cloud), 20_000
    run_em(model, cloud, 5)
    x = model.sample(n)
    mean = model.weights @ model.mean
    spread = model.mean - mean  # between the components, beside what is within
    covariance = torch.einsum("k,kij->ij", model.weights, model.covariances()) + (
        (model.weights * spread.T) @ spread
    )
    z = (x.mean(0) - mean) / (covariance.diagonal() / n).sqrt()
    assert z.abs().max() < 4
    products = (x - mean).unsqueeze(2) * (x - mean).unsqueeze(1)  # (n, 2, 2)
    z = (products.mean(0) - covariance) / (products.std(0) / math.sqrt(n))
    assert z.abs().max() < 4


def test_with_hard_responsibilities_the_m_step_is_that_of_k_means(cloud):
    model = GaussianMixture((2,), 3, "spherical")
    nearest = torch.cdist(cloud, model.mean.detach()).argmin(1)
    model.m_step(cloud, OneHotCategorical(probs=one_hot(nearest, 3).double()))
    for k in nearest.unique():
        torch.testing.assert_close(model.mean[k].detach(), cloud[nearest == k].mean(0))


# Bernoulli


def test_probabilities_sum_to_one():
    model = BernoulliMixture((2, 5), components=4)
    x = all_binary(10).unflatten(1, (2, 5))
    torch.testing.assert_close(model.log_prob(x).exp().sum().item(), 1.0, rtol=1e-12, atol=0)


def test_samples_have_the_frequencies_of_the_mixture():
    model, n = BernoulliMixture((4,), components=3), 20_000
    states = all_binary(4)
    p = model.log_prob(states).exp()
    index = model.sample(n) @ torch.tensor([8.0, 4.0, 2.0, 1.0])
    counts = index.long().bincount(minlength=16)
    assert ((counts - n * p) / (n * p * (1 - p)).sqrt()).abs().max() < 4


def test_naive_bayes_agrees_with_scikit_learn(binary):
    y = torch.arange(3).repeat_interleave(50)
    ours = BernoulliMixture((8,), components=3).fit(binary, y)
    theirs = BernoulliNB(alpha=1e-12, force_alpha=True).fit(binary.numpy(), y.numpy())
    expected = torch.as_tensor(theirs.predict_log_proba(binary.numpy()))
    assert ((binary.unflatten(0, (3, 50)).mean(1) - 0.5).abs() < 0.49).all()  # no floor is met
    torch.testing.assert_close(ours.posterior(binary).logits.detach(), expected)


def test_logistic_form_is_exact():
    model = BernoulliMixture((2, 4), components=2)
    with torch.no_grad():
        model.weight_logits.copy_(torch.tensor([0.3, -1.1]))
    x = all_binary(8).unflatten(1, (2, 4))
    weight, bias = model.logistic()
    posterior = ((weight * x).sum((1, 2)) + bias).sigmoid()
    assert weight.shape == (2, 4) and bias.shape == ()
    torch.testing.assert_close(posterior, model.posterior(x).probs[:, 1], rtol=1e-12, atol=1e-12)


def test_constant_pixels_keep_a_probability():
    x = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    model = BernoulliMixture((3,), components=1, floor=0.01).initialize(x)
    run_em(model, x, 2)
    torch.testing.assert_close(model.logits.sigmoid(), torch.tensor([[0.01, 0.99, 0.5]]))
    new = model.log_prob(torch.tensor([[1.0, 0.0, 1.0]]))
    torch.testing.assert_close(new, torch.tensor([math.log(0.01**2 * 0.5)]))


# Data that break EM


@pytest.mark.parametrize("kind", KINDS)
def test_a_component_that_collapses_stops_at_the_floor(kind, cloud):
    """On one example the likelihood has no bound; with the floor EM stays monotone and finite."""
    model = GaussianMixture((2,), 2, kind, floor=1e-3).initialize(cloud)
    q = torch.zeros(len(cloud), 2)
    q[0, 0], q[1:, 1] = 1, 1
    model.m_step(cloud, OneHotCategorical(probs=q))
    torch.testing.assert_close(model.covariances()[0], 1e-3 * torch.eye(2))
    steps = run_em(model, cloud, 20).diff()
    assert (steps > -1e-12).all()
    assert torch.linalg.eigvalsh(model.covariances()).min() > 0.999e-3


def test_the_floor_of_a_full_covariance_is_the_best_one(cloud):
    """Flat data: raise the small eigenvalue, keep the large one and the directions."""
    x = torch.randn(50, 1) @ torch.tensor([[3.0, 4.0]])
    model = GaussianMixture((2,), 1, "full", floor=0.01).initialize(x)
    along, across = torch.tensor([0.6, 0.8]), torch.tensor([0.8, -0.6])
    expected = x.square().sum(1).mean() - x.mean(0).square().sum()
    covariance = model.covariances()[0].detach()
    torch.testing.assert_close(along @ covariance @ along, expected)
    torch.testing.assert_close(across @ covariance @ across, torch.tensor(0.01))


@pytest.mark.parametrize("name", MODELS)
def test_a_component_that_loses_all_points_keeps_its_parameters(name, cloud, binary):
    x = binary if name == "bernoulli" else cloud
    model = MODELS[name]().initialize(x)
    before = {k: v[1].clone() for k, v in model.state_dict().items() if k != "weight_logits"}
    q = random_q(len(x), 3).probs.index_fill(1, torch.tensor(1), 0)
    model.m_step(x, OneHotCategorical(probs=q))
    assert all(torch.equal(model.state_dict()[k][1], v) for k, v in before.items())
    assert model.weights[1] < 1e-300
    torch.testing.assert_close(model.weights.sum().item(), 1.0)
    steps = run_em(model, x, 5).diff()  # and EM goes on
    assert (steps > -1e-12).all()


def test_a_component_far_from_all_points(cloud):
    model = GaussianMixture((2,), 3).float().initialize(cloud.float())
    with torch.no_grad():
        model.mean[0] = 1e4  # its responsibilities underflow
    values = run_em(model, cloud.float(), 5)
    assert values.isfinite().all()
    assert (model.mean[0] == 1e4).all()
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_identical_examples(name):
    shape = (8,) if name == "bernoulli" else (2,)
    x = torch.ones(5, *shape)
    model = MODELS[name]().initialize(x)
    assert run_em(model, x, 5).isfinite().all()
    assert model.sample(3).isfinite().all()


@pytest.mark.parametrize("name", ["full", "diagonal", "spherical"])
def test_float32_with_constant_coordinates_of_another_scale(name):
    """A floor far below the rounding of the large variances."""
    x = torch.cat([1000 * torch.randn(60, 8), torch.zeros(60, 8)], 1).float()
    model = GaussianMixture((16,), 3, name).float().initialize(x)
    assert run_em(model, x, 10).isfinite().all()


def test_as_many_components_as_points():
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    model = GaussianMixture((2,), 3).initialize(x)
    values = run_em(model, x, 20)
    assert values.isfinite().all() and (values.diff() > -1e-12).all()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: GaussianMixture((2,), components=0),
            "components: got 0, expected an integer of at least 1",
        ),
        (lambda: BernoulliMixture((2,), components=-1), "components: got -1"),
        (
            lambda: GaussianMixture((2,), covariance="tied"),
            "covariance: got 'tied', expected 'full'",
        ),
        (lambda: GaussianMixture((2,), floor=0.0), "floor: got 0.0"),
        (lambda: BernoulliMixture((2,), floor=0.5), "floor: got 0.5"),
        (
            lambda: GaussianMixture((2,), 4).initialize(torch.rand(3, 2)),
            "components: got 4, expected at most 3",
        ),
        (lambda: GaussianMixture((2,)).initialize(torch.rand(20, 3)), r"x: got shape \(20, 3\)"),
        (lambda: GaussianMixture((2,)).log_prob(torch.rand(20, 1)), r"x: got shape \(20, 1\)"),
        (lambda: BernoulliMixture((2,)).posterior(torch.rand(20, 1)), r"x: got shape \(20, 1\)"),
        (
            lambda: GaussianMixture((2,), 3).m_step(torch.rand(20, 2), random_q(20, 4)),
            r"q: got means of shape \(20, 4\), expected \(20, 3\)",
        ),
        (
            lambda: BernoulliMixture((2,), 3).fit(torch.ones(4, 2), torch.tensor([0, 1, 2, 3])),
            "y: got .* expected 0 to 2",
        ),
        (
            lambda: BernoulliMixture((2,), 3).fit(torch.ones(4, 2), torch.tensor([0, 1, 2])),
            r"y: got shape \(3,\), expected \(4,\)",
        ),
        (lambda: BernoulliMixture((2,), 3).logistic(), "components: got 3, expected 2"),
    ],
)
def test_bad_input(act, message):
    with pytest.raises(ValueError, match=message):
        act()
