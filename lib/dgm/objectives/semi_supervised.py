r"""Objectives for batches of which some examples have labels, and the others y = -1.

What concerns the bound of log p is averaged over the batch, like any objective. What concerns
labels is averaged over the *labelled* examples of the batch: for n of B it carries the factor B / n
within the (B,) values, so that the mean over the batch is a mean over the labelled. The weight
`alpha` or `multiplier` in front therefore means the same however many labels a batch holds.

Batches in which labels are more frequent than in the data (`dgm.labels.MixedBatches`) would
also weigh the labelled examples' bounds too much. `labelled_share`, the share of labelled examples
in the data, puts that right: the bounds of the labelled then have this weight in the mean, those of
the unlabelled the rest.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import check_examples, check_labels
from ..estimators import pathwise
from .bounds import elbo
from .divergences import kl


def labelled_bound(model, x: Tensor, y: Tensor, estimator: Callable = pathwise) -> Tensor:
    r"""M2's bound of $\log p_\theta(x, y)$, in nats:

    $$\mathbb E_{z \sim q_\phi(z \mid x, y)}[\log p_\theta(x \mid y, z)]
    - \operatorname{KL}(q_\phi(z \mid x, y) \,\Vert\, p(z)) + \log p(y).$$

    The classifier does not occur in it.

    Args:
        model: an `M2`.
        x: (..., *event).
        y: labels (...), all of them known.
        estimator: of the gradient, as in `elbo`.

    Equation: eq-m2-labelled, eq-m2-silent

    Source: Kingma, Rezende, Mohamed and Welling (2014), arXiv:1406.5298, equation 6.

    >>> from dgm.models import M2
    >>> model, x = M2.mlp((1, 8, 8)), torch.ones(5, 1, 8, 8)
    >>> labelled_bound(model, x, torch.arange(5)).shape
    torch.Size([5])
    """
    return elbo(model, x, y, estimator=estimator) + model.prior_y().log_prob(y)


def unlabelled_bound(model, x: Tensor, estimator: Callable = pathwise) -> Tensor:
    r"""M2's bound of $\log p_\theta(x)$, in nats, with y summed out exactly:

    $$\sum_y q_\phi(y \mid x) \, \mathcal L(x, y) + H(q_\phi(y \mid x)),$$

    where $\mathcal L(x, y)$ is the `labelled_bound`. All classes are computed at once, as
    a batch of shape (classes, B).

    Shapes: x (B, *event) -> (B,).

    Equation: eq-m2-unlabelled, eq-m2-best, eq-m2-ignores-y

    Source: Kingma, Rezende, Mohamed and Welling (2014), arXiv:1406.5298, equation 7.

    >>> from dgm.models import M2
    >>> unlabelled_bound(M2.mlp((1, 8, 8)), torch.ones(5, 1, 8, 8)).shape
    torch.Size([5])
    """
    check_examples(model, x)
    q = model.classify(x)
    return (q.probs.T * bounds_of_labels(model, x, estimator)).sum(0) + q.entropy()


def bounds_of_labels(model, x: Tensor, estimator: Callable = pathwise) -> Tensor:
    """The labelled bound of each example with each label: (B, *event) -> (classes, B)."""
    y = torch.arange(model.classes, device=x.device)[:, None].expand(-1, len(x))  # (classes, B)
    return labelled_bound(model, x.expand(model.classes, *x.shape), y, estimator)


def m2(
    model,
    x: Tensor,
    y: Tensor,
    alpha: float = 0.1,
    labelled_share: float | None = None,
    estimator: Callable = pathwise,
) -> Tensor:
    r"""M2's objective: bounds of $\log p_\theta(x, y)$ or $\log p_\theta(x)$, and a classifier's.

    Its mean over a batch is, with L the labelled and U the unlabelled examples,

    $$\frac1B \Big(\sum_{i \in L} \mathcal L(x_i, y_i) + \sum_{i \in U} \mathcal U(x_i)\Big)
    + \alpha \, \frac{1}{|L|} \sum_{i \in L} \log q_\phi(y_i \mid x_i).$$

    Without the last term no label would reach the classifier. The paper sums over the N examples of
    the data set and weighs the labelled mean by $0.1 N$: divided by N, that is $\alpha = 0.1$ here,
    whatever N and the number of labels. A batch without labels leaves the term out.

    Args:
        model: an `M2`.
        x: (B, *event).
        y: labels (B,), -1 for none.
        alpha: weight of the classifier's log-probability.
        labelled_share: share of labelled examples in the data, if it differs from the batch's.
        estimator: of the gradient, as in `elbo`.

    Returns:
        (B,).

    Equation: def-m2-objective

    Source: Kingma, Rezende, Mohamed and Welling (2014), arXiv:1406.5298, equations 8 and 9.

    >>> from dgm.models import M2
    >>> model, x = M2.mlp((1, 8, 8)), torch.ones(5, 1, 8, 8)
    >>> m2(model, x, torch.tensor([3, 7, -1, -1, -1]), alpha=1.0).shape
    torch.Size([5])
    """
    _check(model, x, y)
    q, known = model.classify(x), y.long().clamp(min=0)
    bounds = bounds_of_labels(model, x, estimator)  # (classes, B)
    labelled = bounds.gather(0, known[None])[0]  # (B,), of no meaning where y is -1
    unlabelled = (q.probs.T * bounds).sum(0) + q.entropy()  # (B,)
    bound = torch.where(y >= 0, labelled, unlabelled)
    return weights(x, y, labelled_share) * bound + alpha * of_labelled(x, y) * q.log_prob(known)


def prediction_constrained(
    model,
    x: Tensor,
    y: Tensor,
    multiplier: float = 10.0,
    consistency: float = 0.0,
    labelled_share: float | None = None,
) -> Tensor:
    r"""The ELBO of all examples under a constraint on the labelled ones' loss, as a Lagrangian:

    $$\max \operatorname{ELBO} \quad \text{subject to} \quad \frac{1}{|L|} \sum_{i \in L}
    \mathbb E_{z \sim q_\phi(z \mid x_i)}[-\log p_w(y_i \mid z)] \le \epsilon.$$

    Every bound $\epsilon$ has its multiplier $\lambda$, and is left out for it; the mean over a
    batch is the mean ELBO minus $\lambda$ times the labelled examples' mean cross-entropy, from one
    draw of z. Predictions are made from codes, as they will be of test images, and the gradient
    reaches the encoder through them.

    The consistency term asks for the same prediction from the code of the reconstruction (the
    likelihood's mean): the label where it is known, elsewhere what was predicted from z, which
    counts as given. Its cross-entropy is averaged over the batch.

    Args:
        model: a `PCVAE`.
        x: (B, *event).
        y: labels (B,), -1 for none.
        multiplier: $\lambda$, in nats of ELBO per nat of cross-entropy. A schedule goes to the
            training step: `gradient_step(..., schedules={"multiplier": schedule})`.
        consistency: weight of the consistency term.
        labelled_share: share of labelled examples in the data, if it differs from the batch's.

    Returns:
        (B,).

    Equation: def-pc, def-pc-lagrange, eq-pc-joint

    Source: Hope, Abdrakhmanova, Chen, Hughes and Sudderth (2020), arXiv:2012.06718; Hughes et al.
    (2017), arXiv:1707.07341, Prediction-Constrained Training for Semi-Supervised Mixture and Topic
    Models.

    >>> from dgm.models import PCVAE
    >>> model, x = PCVAE.mlp((1, 8, 8)), torch.ones(5, 1, 8, 8)
    >>> prediction_constrained(model, x, torch.tensor([3, 7, -1, -1, -1])).shape
    torch.Size([5])
    """
    _check(model, x, y)
    q, known = model.posterior(x), y.long().clamp(min=0)
    z = q.rsample()  # (B, latent)
    p_x, p_y = model.likelihood(z), model.predictor(z)
    bound = p_x.log_prob(x) - kl(q, model.prior())  # (B,)
    loss = -p_y.log_prob(known)  # (B,), of no meaning where y is -1
    objective = weights(x, y, labelled_share) * bound - multiplier * of_labelled(x, y) * loss
    if consistency:
        again = model.predictor(model.posterior(p_x.mean).rsample()).logits  # (B, classes)
        label = F.one_hot(known, model.predicted_classes).to(again)
        target = torch.where(y[:, None] >= 0, label, p_y.probs.detach())
        objective = objective + consistency * (target * again).sum(1)
    return objective


def weights(x: Tensor, y: Tensor, share: float | None) -> Tensor:
    """Weights of mean 1 under which the labelled examples have this share of the whole: (B,).

    All weights are 1 with None, and where nothing or everything is labelled: there is no second
    kind to share with.

    >>> x, y = torch.zeros(4, 2), torch.tensor([7, -1, -1, -1])
    >>> weights(x, y, 0.1)
    tensor([0.4000, 1.2000, 1.2000, 1.2000])
    """
    if share is not None and not 0 <= share <= 1:
        raise ValueError(f"labelled_share: got {share}, expected a share, 0 to 1, or None")
    labelled = (y >= 0).to(x)  # (B,)
    if share is None:
        return torch.ones_like(labelled)
    n, rest = labelled.sum(), (1 - labelled).sum()
    parts = share * labelled / n + (1 - share) * (1 - labelled) / rest  # nan if n or rest is 0
    return torch.where((n > 0) & (rest > 0), len(y) * parts, 1.0)


def of_labelled(x: Tensor, y: Tensor) -> Tensor:
    """Weights under which a mean over the batch is one over its labelled examples: (B,).

    A batch without labels has none: all weights are 0.

    >>> of_labelled(torch.zeros(4, 2), torch.tensor([7, 3, -1, -1]))
    tensor([2., 2., 0., 0.])
    """
    labelled = (y >= 0).to(x)  # (B,)
    return len(y) * labelled / labelled.sum().clamp(min=1)


def _check(model, x: Tensor, y: Tensor | None) -> None:
    check_examples(model, x)
    check_labels(y, model.predicted_classes, x.shape[:1], unlabelled=True)
