"""Reconstructions, log-likelihoods, what codes know: models that can be asked about an example.

Classifiers on codes come from scikit-learn, which is imported when one is fitted.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..checks import check_data, check_examples, integer
from ..data import Dataset, Split, in_batches
from ..labels import known
from ..models.codes import encode
from ..objectives.likelihood import log_likelihood, reconstruction
from ..protocols import Tractable


@torch.no_grad()
def reconstruction_error(model, x: Tensor, batch_size: int = 1000) -> float:
    r"""The mean over examples of $\lVert x - \hat x \rVert^2$, summed over coordinates.

    For PCA on its own training data it equals the sum of the eigenvalues left out.

    Args:
        model: `model(x)` is the reconstruction.
        x: (N, *event).

    Raises:
        ValueError: there are no examples, or as `dgm.objectives.reconstruction`.

    Equation: eq-pca-error

    >>> reconstruction_error(torch.nn.Identity(), torch.rand(5, 1, 8, 8))
    0.0
    """
    check_examples(model, x)
    integer("batch_size", batch_size)
    return -float(sum(reconstruction(model, b).sum() for b in x.split(batch_size)) / len(x))


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


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """The angles between two subspaces, in radians, rising; all zero when they coincide.

    The cosines are the singular values of Q_a Q_b^T for orthonormal bases of the two row spaces.
    That loses half the digits near zero, where cos is flat, so the sines are computed as well (from
    the part of Q_b outside the first subspace) and the two are combined by atan2.

    Args:
        a, b: (m, D), rows that span the two subspaces; they need not be orthogonal.

    Source: Björck and Golub (1973), doi:10.2307/2005662, Numerical methods for computing angles
    between linear subspaces.

    >>> x_axis, diagonal = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 2.0]])
    >>> principal_angles(x_axis, diagonal).rad2deg()
    tensor([45.])
    """
    qa, qb = (torch.linalg.qr(m.T).Q for m in (a, b))  # (D, m), orthonormal columns
    cosines = torch.linalg.svdvals(qa.T @ qb)  # (m,), falling
    sines = torch.linalg.svdvals(qb - qa @ (qa.T @ qb)).flip(0)  # (m,), rising
    return torch.atan2(sines, cosines)


@torch.no_grad()
def mean_log_prob(
    model: Tractable, x: Tensor, y: Tensor | None = None, batch_size: int = 1000
) -> tuple[float, float]:
    r"""The mean of $\log p_\theta(x_i)$ over examples, in nats, and its standard error.

    On test data it estimates E[log p_theta(x)] = -H(p_data) - KL(p_data || p_theta). The standard
    error is s / sqrt(N), with s the standard deviation of the N values (dividing by N - 1). A model
    that gives one example density zero has (-inf, nan).

    Args:
        model: has `log_prob`: (B, *event) -> (B,).
        x: (N, *event), N of at least 2.
        y: labels (N,), for a model with classes, whose log p(x | y) is averaged.

    Raises:
        ValueError: fewer than two examples, x and y are no data of the model, or log_prob returns
            another shape than (B,).

    Equation: eq-likelihood-kl

    >>> from torch.distributions import Normal
    >>> mean, standard_error = mean_log_prob(Normal(0.0, 1.0), torch.tensor([-1.0, 1.0, 2.0]))
    >>> round(mean, 4), round(standard_error, 4)
    (-1.9189, 0.5)
    """
    check_examples(model, x, y, at_least=2)
    check_data(model, x, y)
    integer("batch_size", batch_size)
    values = [log_likelihood(model, *batch) for batch in in_batches(x, y, batch_size)]
    return mean_and_error(torch.cat(values))


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """The mean of N independent values, and its standard error s / sqrt(N).

    The mean over a test set says how a model does on it. The error says how far that may be from
    the mean over the whole distribution: the true mean lies within two errors 19 times out of 20.

    Raises:
        ValueError: values is not (N,) with N of at least 2.

    Equation: eq-monte-carlo

    >>> mean_and_error(torch.tensor([1.0, 2.0, 3.0]))
    (2.0, 0.577)
    """
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values: got shape {tuple(values.shape)}, expected (N,), N at least 2")
    values = values.cpu().double()  # float32 adds thousands of numbers to four digits
    return values.mean().item(), (values.std() / len(values) ** 0.5).item()


def bits_per_dimension(log_prob: Tensor | float, shape: Sequence[int]) -> Tensor | float:
    r"""$-\log_2 p(x) / D$, from $\log p(x)$ in nats: bits per coordinate, the fewer the better.

    To code x with the model takes so many bits per coordinate, hence independent coordinates with
    L equally likely levels cost log2 L. It is for discrete data: of a density the number depends on
    the unit of x.

    Args:
        log_prob: nats, of one example or of many, or a mean.
        shape: event shape; D is the product.

    Equation: def-bits

    >>> coins = torch.full((1, 8, 8), 0.5)
    >>> bits_per_dimension(coins.log().sum(), coins.shape)
    tensor(1.)
    """
    return -log_prob / (math.prod(shape) * math.log(2))


def linear_probe(model, data: Dataset) -> float:
    """Test accuracy of a logistic regression from codes to labels: what is there linearly.

    Only labelled examples count, in training and in the test (y = -1 is no class). Codes of a model
    with classes are those given the label: what they still say of it should be nothing.

    Raises:
        ValueError: no training or no test example has a label; the model has no codes.

    >>> import dgm
    >>> data = dgm.data.load("digits", device="cpu")
    >>> linear_probe(dgm.models.PCA(data.shape, latent=10).fit(data.train.images), data) > 0.8
    True
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return _test_accuracy(probe, model, data)


def knn(model, data: Dataset, k: int = 5) -> float:
    """Test accuracy of `k` nearest neighbours among the codes: what is there locally.

    Labels and errors as for `linear_probe`; k is at most the number of labelled training examples.

    >>> import dgm
    >>> data = dgm.data.load("digits", device="cpu")
    >>> knn(dgm.models.PCA(data.shape, latent=10).fit(data.train.images), data) > 0.8
    True
    """
    from sklearn.neighbors import KNeighborsClassifier

    most = len(known(data.train))
    if integer("k", k) > most:
        raise ValueError(f"k: got {k}, expected at most {most}, the labelled training examples")
    return _test_accuracy(KNeighborsClassifier(k), model, data)


def _test_accuracy(classifier, model, data: Dataset) -> float:
    def labelled(split: Split) -> tuple:
        split = known(split)
        return encode(model, split.images, split.y).cpu().numpy(), split.y.cpu().numpy()

    classifier.fit(*labelled(data.train))
    return float(classifier.score(*labelled(data.test)))
