"""Codes, reconstructions and log-likelihoods: models that can be asked about an example.

Classifiers on codes come from scikit-learn, which is imported when one is fitted.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat

import torch
from torch import Tensor

from ..data import Dataset
from ..protocols import Tractable, given


@torch.no_grad()
def encode(model, x: Tensor, y: Tensor | None = None, batch_size: int = 1000) -> Tensor:
    """Codes of images, in batches: (N, *event) -> (N, latent).

    The code is `model.encode(x)` for an autoencoder and the mean of `model.posterior(x)` for a
    latent-variable model, of `model.posterior(x, y)` for a conditional one.

    >>> from dgm.models import PCA
    >>> encode(PCA((1, 8, 8)), torch.rand(5, 1, 8, 8)).shape
    torch.Size([5, 2])
    """
    if hasattr(model, "encode"):
        return torch.cat([model.encode(batch) for batch in x.split(batch_size)])
    codes = (model.posterior(b, **given(model, y_b)) for b, y_b in batches(x, y, batch_size))
    return torch.cat([q.mean for q in codes])


def batches(x: Tensor, y: Tensor | None, size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """So many examples at a time, each with its label where there are labels."""
    labels = repeat(None) if y is None else y.split(size)
    return zip(x.split(size), labels, strict=False)


@torch.no_grad()
def reconstruction_error(model, x: Tensor, batch_size: int = 1000) -> float:
    r"""The mean over examples of $\lVert x - \hat x \rVert^2$, summed over coordinates.

    For PCA on its own training data it equals the sum of the eigenvalues left out.

    Args:
        model: `model(x)` is the reconstruction.
        x: (N, *event).

    >>> reconstruction_error(torch.nn.Identity(), torch.rand(5, 1, 8, 8))
    0.0
    """
    total = sum((b - model(b)).square().sum() for b in x.split(batch_size))
    return float(total / len(x))


@torch.no_grad()
def nearest_neighbours(
    queries: Tensor, points: Tensor, k: int = 1, chunk: int = 1000
) -> tuple[Tensor, Tensor]:
    """The Euclidean distances from each query to its `k` nearest points, and which these are.

    Args:
        queries: (N, *event), codes or images.
        points: (M, *event), for example the training images; `points[indices]` is (N, k, *event).
        chunk: queries compared at a time, to bound the memory at chunk x M numbers.

    Returns:
        (N, k) distances, rising, and (N, k) indices into `points`.

    Raises:
        ValueError: queries and points have different event shapes, there are no points, or k is not
            one of 1 to M.

    >>> points = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> nearest_neighbours(torch.tensor([[0.0, 1.0]]), points)
    (tensor([[1.]]), tensor([[0]]))
    """
    if queries.shape[1:] != points.shape[1:] or len(points) == 0:
        raise ValueError(
            f"queries, points: got shapes {tuple(queries.shape)} and {tuple(points.shape)}, "
            "expected (N, *event) and (M, *event) with M of at least 1"
        )
    if not 1 <= k <= len(points):
        raise ValueError(f"k: got {k}, expected 1 to {len(points)}, the number of points")
    flat = points.flatten(1)
    # exact differences: the faster |a|^2 - 2ab + |b|^2 loses half the digits of small distances
    exact = "donot_use_mm_for_euclid_dist"
    near = [
        torch.cdist(q, flat, compute_mode=exact).topk(k, largest=False)
        for q in queries.flatten(1).split(chunk)
    ]
    return torch.cat([n.values for n in near]), torch.cat([n.indices for n in near])


def nearest_distance(queries: Tensor, points: Tensor, chunk: int = 1000) -> Tensor:
    """The Euclidean distance from each query to the nearest of the points: (N,).

    Arguments and errors as for `nearest_neighbours`.

    >>> points = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> nearest_distance(torch.tensor([[0.0, 1.0], [3.0, 4.0]]), points)
    tensor([1., 0.])
    """
    return nearest_neighbours(queries, points, 1, chunk)[0][:, 0]


@torch.no_grad()
def mean_log_prob(model: Tractable, x: Tensor, batch_size: int = 1000) -> tuple[float, float]:
    r"""The mean of $\log p_\theta(x_i)$ over examples, in nats, and its standard error.

    On test data it estimates E[log p_theta(x)] = -H(p_data) - KL(p_data || p_theta). The standard
    error is s / sqrt(N), with s the standard deviation of the N values (dividing by N - 1). A model
    that gives one example density zero has (-inf, nan).

    Args:
        model: has `log_prob`: (B, *event) -> (B,).
        x: (N, *event), N of at least 2.

    Raises:
        ValueError: fewer than two examples, or log_prob returns another shape than (B,).

    >>> from torch.distributions import Normal
    >>> mean, standard_error = mean_log_prob(Normal(0.0, 1.0), torch.tensor([-1.0, 1.0, 2.0]))
    >>> round(mean, 4), round(standard_error, 4)
    (-1.9189, 0.5)
    """
    if len(x) < 2:
        raise ValueError(f"x: got {len(x)} examples, expected at least 2 for a standard error")
    parts = []
    for batch in x.split(batch_size):
        values = model.log_prob(batch)
        if values.shape != batch.shape[:1]:
            raise ValueError(
                f"model: log_prob returned shape {tuple(values.shape)} for {len(batch)} examples, "
                f"expected ({len(batch)},), one number each"
            )
        parts.append(values)
    values = torch.cat(parts).cpu().double()  # (N,)
    return values.mean().item(), (values.std() / len(values) ** 0.5).item()


def bits_per_dimension(log_prob: Tensor | float, shape: Sequence[int]) -> Tensor | float:
    r"""$-\log_2 p(x) / D$, from $\log p(x)$ in nats: bits per coordinate, the fewer the better.

    To code x with the model takes so many bits per coordinate, hence independent coordinates with
    L equally likely levels cost log2 L. It is for discrete data: of a density the number depends on
    the unit of x.

    Args:
        log_prob: nats, of one example or of many, or a mean.
        shape: event shape; D is the product.

    >>> coins = torch.full((1, 8, 8), 0.5)
    >>> bits_per_dimension(coins.log().sum(), coins.shape)
    tensor(1.)
    """
    return -log_prob / (math.prod(shape) * math.log(2))


def linear_probe(model, data: Dataset) -> float:
    """Test accuracy of a logistic regression from codes to labels: what is there linearly.

    >>> import dgm
    >>> data = dgm.data.load("digits", device="cpu")
    >>> linear_probe(dgm.models.PCA(data.shape, latent=10).fit(data.train.images), data) > 0.8
    True
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return _test_accuracy(probe, lambda x: encode(model, x), data)


def knn(model, data: Dataset, k: int = 5) -> float:
    """Test accuracy of `k` nearest neighbours among the codes: what is there locally.

    >>> import dgm
    >>> data = dgm.data.load("digits", device="cpu")
    >>> knn(dgm.models.PCA(data.shape, latent=10).fit(data.train.images), data) > 0.8
    True
    """
    from sklearn.neighbors import KNeighborsClassifier

    if not 1 <= k <= len(data.train):
        raise ValueError(f"k: got {k}, expected 1 to {len(data.train)}, the training examples")
    return _test_accuracy(KNeighborsClassifier(k), lambda x: encode(model, x), data)


def _test_accuracy(classifier, features: Callable[[Tensor], Tensor], data: Dataset) -> float:
    classifier.fit(features(data.train.images).cpu().numpy(), data.train.y.cpu().numpy())
    return float(
        classifier.score(features(data.test.images).cpu().numpy(), data.test.y.cpu().numpy())
    )
