"""Every model: shapes, gradients, no constant left on the CPU; PCA against scikit-learn."""

import pytest
import torch
from sklearn.decomposition import PCA as SklearnPCA

from dgm import models, objectives
from dgm.evaluate import principal_angles
from dgm.protocols import Tractable

IMAGES = [(1, 8, 8), (1, 28, 28), (3, 32, 32)]
MODELS = {
    "PCA": models.PCA,
    "Autoencoder.linear": models.Autoencoder.linear,
}
CASES = [(name, shape) for name in MODELS for shape in [(2,), *IMAGES]]

TRACTABLE = {
    "PPCA": models.PPCA,
    "GaussianMixture": models.GaussianMixture,
    "BernoulliMixture": models.BernoulliMixture,
    "RBM": lambda shape: models.RBM(shape, hidden=8),
}


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_encode_and_decode_shapes(name, shape):
    model = MODELS[name](shape, latent=2)
    x = torch.rand(3, *shape)
    assert model.encode(x).shape == (3, 2)
    assert model(x).shape == x.shape
    assert model.decode(torch.zeros(4, 5, 2)).shape == (4, 5, *shape)  # draws lead


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_forward_and_backward_on_the_meta_device(name, shape):
    """A tensor made on the CPU inside the model would meet one on `meta` and raise."""
    model = MODELS[name](shape, latent=2).to("meta")
    x = torch.empty(3, *shape, device="meta", requires_grad=True)
    objectives.reconstruction(model, x).sum().backward()
    assert x.grad.shape == x.shape
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_forward_agrees_between_cpu_and_gpu(name, shape):
    model = MODELS[name](shape, latent=2)
    x = torch.rand(3, *shape)
    torch.testing.assert_close(model(x), model.cuda()(x.cuda()).cpu(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("shape", [(2,), (1, 8, 8)])
@pytest.mark.parametrize("name", TRACTABLE)
def test_tractable_models_from_their_shape_alone(name, shape):
    model = TRACTABLE[name](shape)
    x = model.sample(5)
    assert isinstance(model, Tractable)
    assert x.shape == (5, *shape) and not x.requires_grad
    log_p = model.log_prob(x)
    assert log_p.shape == (5,) and log_p.isfinite().all()
    log_p.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", TRACTABLE)
def test_tractable_models_on_the_meta_device(name):
    model = TRACTABLE[name]((1, 8, 8)).to("meta")
    assert model.log_prob(torch.empty(5, 1, 8, 8, device="meta")).shape == (5,)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("name", TRACTABLE)
def test_log_prob_agrees_between_cpu_and_gpu(name):
    model = TRACTABLE[name]((1, 8, 8)).double()
    x = model.sample(5)
    torch.testing.assert_close(model.log_prob(x), model.cuda().log_prob(x.cuda()).cpu())
    assert model.sample(5).device.type == "cuda"


@pytest.fixture
def cloud():
    torch.manual_seed(0)
    return torch.randn(200, 6) @ torch.randn(6, 6) + 5


def test_pca_agrees_with_scikit_learn(cloud):
    ours = models.PCA((6,), latent=3).fit(cloud)
    theirs = SklearnPCA(3).fit(cloud.numpy())
    reconstruction = theirs.inverse_transform(theirs.transform(cloud.numpy()))
    torch.testing.assert_close(ours(cloud), torch.as_tensor(reconstruction), atol=1e-4, rtol=1e-4)
    n = len(cloud)  # scikit-learn divides by n - 1
    variances = torch.as_tensor(theirs.explained_variance_) * (n - 1) / n
    torch.testing.assert_close(ours.eigenvalues[:3], variances, atol=1e-4, rtol=1e-4)


def test_pca_with_fewer_examples_than_coordinates():
    torch.manual_seed(0)
    x = torch.randn(4, 10)
    pca = models.PCA((10,), latent=3).fit(x)
    torch.testing.assert_close(pca(x), x, atol=1e-5, rtol=1e-5)  # 4 points span 3 directions
    assert (pca.eigenvalues[4:] == 0).all()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: models.PCA((6,), latent=0), "latent: got 0, expected an integer of at least 1"),
        (lambda: models.PCA((6,), latent=7), "latent: got 7, expected 1 to 6"),
        (
            lambda: models.PCA((6,)).fit(torch.zeros(9, 5)),
            r"x: got shape \(9, 5\), expected \(..., 6\)",
        ),
        (lambda: models.PCA((6,), latent=4).fit(torch.zeros(3, 6)), "N of at least 4"),
    ],
)
def test_pca_bad_input(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_failed_fit_leaves_pca_as_it_was(cloud):
    pca = models.PCA((6,), latent=4).fit(cloud)
    before = {k: v.clone() for k, v in pca.state_dict().items()}
    with pytest.raises(ValueError, match="x: got 3 examples"):
        pca.fit(cloud[:3])
    assert all(torch.equal(v, before[k]) for k, v in pca.state_dict().items())


def test_principal_angles_of_a_known_rotation():
    angle = torch.tensor(0.3)
    e = torch.eye(4)
    tilted = torch.stack([e[0], e[1] * angle.cos() + e[2] * angle.sin()])
    torch.testing.assert_close(principal_angles(e[:2], tilted), torch.tensor([0.0, 0.3]))


def test_principal_angles_ignore_the_basis(cloud):
    a = cloud[:2]
    mixed = torch.tensor([[2.0, 1.0], [0.5, -3.0]]) @ a
    assert principal_angles(a, mixed).max() < 1e-5
