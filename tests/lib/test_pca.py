"""PCA: against scikit-learn, and what it refuses; angles between subspaces."""

import pytest
import torch
from sklearn.decomposition import PCA as SklearnPCA

from dgm import models
from dgm.evaluate import principal_angles


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
