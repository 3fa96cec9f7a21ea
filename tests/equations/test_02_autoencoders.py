"""The labelled equations of chapter 02, each computed in two independent ways, in float64."""

import pytest
import torch
from torch import nn

from dgm.evaluate import reconstruction_error
from dgm.models import PCA, PPCA

M = 2  # size of the code


@pytest.fixture
def x():
    """Data with a mean, unequal eigenvalues and correlations, (N, D)."""
    torch.manual_seed(0)
    scales = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.2], dtype=torch.float64)
    mix = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64)).Q
    return (torch.randn(300, 5, dtype=torch.float64) * scales) @ mix + 4.0


def spectrum(x):
    """Mean, eigenvalues (falling) and eigenvectors (columns) of the covariance, by `eigh`."""
    mu = x.mean(0)
    values, vectors = torch.linalg.eigh((x - mu).T @ (x - mu) / len(x))
    return mu, values.flip(0), vectors.flip(1)


def error(x, reconstruction):
    return (x - reconstruction).square().sum(1).mean()


@pytest.mark.equation("eq-pca-error")
def test_pca_error(x):
    """The error of projecting on m eigenvectors against the sum of the other eigenvalues."""
    _, eigenvalues, _ = spectrum(x)
    pca = PCA((5,), M).double().fit(x)  # by SVD of the data, not from the covariance
    torch.testing.assert_close(error(x, pca(x)), eigenvalues[M:].sum())
    assert reconstruction_error(pca, x) == pytest.approx(eigenvalues[M:].sum().item())


@pytest.mark.equation("eq-kept-and-lost")
def test_kept_and_lost(x):
    """Total variance against kept plus lost, for projections on random orthonormal frames."""
    mu = x.mean(0)
    for seed in range(5):
        torch.manual_seed(seed)
        U = torch.linalg.qr(torch.randn(5, M, dtype=torch.float64)).Q
        z = (x - mu) @ U
        kept, lost = z.square().sum(1).mean(), error(x, mu + z @ U.T)
        torch.testing.assert_close(kept + lost, x.var(0, correction=0).sum())


@pytest.mark.equation("eq-pca-optimal")
def test_no_affine_pair_beats_pca(x):
    """Affine pairs trained from five starts: never below the bound, and at it in the end."""
    bound = spectrum(x)[1][M:].sum()
    for seed in range(5):
        torch.manual_seed(seed)
        pair = nn.Sequential(nn.Linear(5, M), nn.Linear(M, 5)).double()
        assert error(x, pair(x)) > bound
        optimizer = torch.optim.LBFGS(
            pair.parameters(), max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-14
        )

        def closure(pair=pair, optimizer=optimizer):
            optimizer.zero_grad()
            loss = error(x, pair(x))
            loss.backward()
            return loss

        optimizer.step(closure)
        trained = error(x, pair(x)).detach()
        assert bound - 1e-10 < trained < bound + 1e-4


@pytest.mark.equation("eq-linear-error")
def test_linear_error(x):
    """The error on the data against both traces, for pairs that are no projections."""
    mu, eigenvalues, vectors = spectrum(x)
    Sigma = vectors @ eigenvalues.diag() @ vectors.T
    for seed in range(5):
        torch.manual_seed(seed)
        W, V = torch.randn(M, 5, dtype=x.dtype), torch.randn(5, M, dtype=x.dtype)
        left_out = torch.eye(5, dtype=x.dtype) - V @ W
        multiplied_out = Sigma.trace() - 2 * (V @ W @ Sigma).trace()
        multiplied_out = multiplied_out + (V.T @ V @ W @ Sigma @ W.T).trace()
        measured = error(x - mu, (x - mu) @ W.T @ V.T)
        torch.testing.assert_close((left_out @ Sigma @ left_out.T).trace(), measured)
        torch.testing.assert_close(multiplied_out, measured)


@pytest.mark.equation("eq-linear-equivalence")
def test_axes_are_not_identified(x):
    """The reconstruction by (A^-1 U^T, U A) against PCA's, for random invertible A."""
    mu, _, vectors = spectrum(x)
    U = vectors[:, :M]
    pca = PCA((5,), M).double().fit(x)
    for seed in range(5):
        torch.manual_seed(seed)
        A = torch.randn(M, M, dtype=torch.float64)
        z = torch.linalg.solve(A, U.T @ (x - mu).T)  # (m, N)
        torch.testing.assert_close(mu + (U @ A @ z).T, pca(x))
        assert not torch.allclose(z.T, pca.encode(x))  # other codes, same copies


@pytest.mark.equation("eq-best-encoder")
def test_best_encoder(x):
    """Autograd's gradient is zero at the formula, and stays zero along directions without data."""
    torch.manual_seed(0)
    centred = torch.cat([x - x.mean(0), torch.zeros(len(x), 1, dtype=x.dtype)], 1)  # Sigma e_6 = 0
    Sigma = centred.T @ centred / len(x)  # (6, 6)
    V = torch.randn(6, M, dtype=torch.float64)
    W = torch.linalg.solve(V.T @ V, V.T)  # satisfies W Sigma = (V^T V)^-1 V^T Sigma
    free = torch.zeros_like(W)
    free[:, 5] = torch.tensor([7.0, -3.0])

    def loss(W):
        return error(centred, centred @ W.T @ V.T)

    for encoder in (W, W + free):
        torch.testing.assert_close(
            encoder @ Sigma, torch.linalg.inv(V.T @ V) @ V.T @ Sigma, atol=1e-10, rtol=0
        )
        gradient = torch.autograd.functional.jacobian(loss, encoder)
        torch.testing.assert_close(gradient, torch.zeros_like(W), atol=1e-10, rtol=0)
        torch.testing.assert_close(loss(encoder), loss(W))
    moved = W + 0.1 * torch.randn_like(W) @ Sigma  # another W Sigma: not a minimum
    assert torch.autograd.functional.jacobian(loss, moved).abs().max() > 1e-3
    assert loss(moved) > loss(W) + 1e-6


@pytest.mark.equation("eq-ppca-limit")
def test_ppca_tends_to_pca(x):
    """The decoded posterior mean, by Gaussian conditioning and by the library, against PCA.

    On the way to the limit each coordinate is shrunk by 1 - sigma^2 / lambda_j, as the proof says.
    """
    mu, eigenvalues, vectors = spectrum(x)
    pca = PCA((5,), M).double().fit(x)
    exact = pca.encode(x) * (vectors[:, :M].T @ pca.components.T).sign().diagonal()  # (N, m)
    for sigma2 in (1e-2, 1e-4, 1e-6):
        W = vectors[:, :M] * (eigenvalues[:M] - sigma2).sqrt()  # (D, m)
        C = W @ W.T + sigma2 * torch.eye(5, dtype=x.dtype)  # Cov[x]; Cov[z, x] = W^T
        posterior_mean = W.T @ torch.linalg.solve(C, (x - mu).T)  # (m, N)
        formula = W @ torch.linalg.inv(W.T @ W + sigma2 * torch.eye(M, dtype=x.dtype)) @ W.T
        decoded = formula @ (x - mu).T  # (D, N)
        torch.testing.assert_close(W @ posterior_mean, decoded, atol=1e-7, rtol=1e-7)
        ppca = PPCA((5,), M).double()
        values = {"weight": W, "mean": mu, "log_variance": torch.tensor(sigma2).log()}
        ppca.load_state_dict(values)
        again = ppca.likelihood(ppca.posterior(x).mean).mean.detach()  # (N, D)
        torch.testing.assert_close(again - mu, decoded.T, atol=1e-7, rtol=1e-7)
        shrunk = vectors[:, :M] @ ((1 - sigma2 / eigenvalues[:M]) * exact).T
        torch.testing.assert_close(decoded, shrunk, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(mu + decoded.T, pca(x), atol=1e-4, rtol=0)


@pytest.mark.equation("eq-conditional-mean")
def test_error_splits_at_the_conditional_mean():
    """All 12 equally likely points, three codes, a random decoder: both sides by enumeration."""
    torch.manual_seed(0)
    points = torch.randn(12, 4, dtype=torch.float64)
    code = torch.tensor([0] * 3 + [1] * 4 + [2] * 5)
    f = torch.randn(3, 4, dtype=torch.float64)  # f(z) for z = 0, 1, 2
    mean = torch.stack([points[code == z].mean(0) for z in range(3)])  # E[x | z]
    left = error(points, f[code])
    right = error(points, mean[code]) + (mean - f)[code].square().sum(1).mean()
    torch.testing.assert_close(left, right)
    # and a decoder trained on the left side alone finds the conditional mean
    learned = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    for _ in range(2000):
        (gradient,) = torch.autograd.grad(error(points, learned[code]), learned)
        learned = (learned - 0.5 * gradient).detach().requires_grad_()
    torch.testing.assert_close(learned.detach(), mean)


@pytest.mark.equation("eq-copy")
def test_one_relu_layer_copies_every_point():
    """The sum of ReLUs against the points at the codes, and against `lerp` between them."""
    torch.manual_seed(0)
    c = torch.randn(20, dtype=torch.float64).sort().values
    points = torch.randn(20, 6, dtype=torch.float64)
    slopes = points.diff(dim=0) / c.diff()[:, None]
    kinks = slopes.diff(dim=0, prepend=torch.zeros(1, 6, dtype=torch.float64))

    def f(code):
        return points[0] + (code[:, None] - c[:-1]).clamp(min=0) @ kinks

    torch.testing.assert_close(f(c), points)
    t = torch.rand(19, 1, dtype=torch.float64)
    between = c[:-1] + t[:, 0] * c.diff()
    torch.testing.assert_close(f(between), torch.lerp(points[:-1], points[1:], t))


@pytest.mark.equation("eq-code-scale")
def test_codes_have_no_scale(x):
    """A network and its twin (A h, f A^-1): equal copies, and the covariance formula."""
    torch.manual_seed(0)
    h = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, M)).double()
    f = nn.Sequential(nn.Linear(M, 8), nn.Tanh(), nn.Linear(8, 5)).double()
    A = torch.randn(M, M, dtype=torch.float64)
    with torch.no_grad():
        z, twin = h(x), h(x) @ A.T
        torch.testing.assert_close(f(torch.linalg.solve(A, twin.T).T), f(z))
        torch.testing.assert_close(torch.cov(twin.T), A @ torch.cov(z.T) @ A.T)
    assert not torch.allclose(twin, z)
