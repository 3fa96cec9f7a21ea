r"""Couplings: which noise goes with which example.

Flow matching draws pairs $(x_0, \epsilon)$ and learns the mean velocity of the paths between them.
Any pairing whose two sides have the right distributions leads from noise to data; it decides how
much the paths cross, and therefore how curved the trajectories are.

    independent     as they were drawn
    minibatch_ot    the cheapest pairing within a batch
    pairs           what a trained model itself joins: both ends of its trajectories

A coupling is a function `coupling(x, eps, y=None) -> eps` of examples and as many noises, which it
puts into another order: whatever it does, a batch of noise stays one.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .checks import check_labels, integer
from .paths import beside, grid
from .samplers import heun


def independent(x: Tensor, eps: Tensor, y: Tensor | None = None) -> Tensor:
    """The noises as they come: (B, *event) -> (B, *event)."""
    return eps


def minibatch_ot(x: Tensor, eps: Tensor, y: Tensor | None = None, size: int = 128) -> Tensor:
    r"""The noises in the order $\pi$ that makes the squared distances least,

    $$\min_\pi \sum_i \lVert x_i - \epsilon_{\pi(i)} \rVert^2 ,$$

    found exactly among at most `size` examples at a time. The larger the groups, the closer the
    cost comes to that of optimal transport, which it never reaches; the work grows as their cube.

    With labels, examples are paired within their class (y = -1 is one more): otherwise the noise of
    a class would differ from the noise that sampling of that class starts from.

    Shapes: x and eps (B, *event), y (B,) -> (B, *event).

    Raises:
        ValueError: x and eps are not of one shape, y is not one label for each, or size is no
            positive integer.

    Equation: def-pairing, eq-permutation

    Source: Tong et al. (2024), arXiv:2302.00482, Improving and Generalizing Flow-Based Generative
    Models with Minibatch Optimal Transport; Pooladian et al. (2023), arXiv:2304.14772.

    >>> minibatch_ot(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.9], [0.2]]))
    tensor([[0.2000],
            [0.9000]])
    """
    from scipy.optimize import linear_sum_assignment  # which takes longer than all of dgm

    size = integer("size", size)
    if x.shape != eps.shape:
        raise ValueError(f"eps: got shape {tuple(eps.shape)}, expected that of x, {tuple(x.shape)}")
    if y is not None and y.shape != x.shape[:1]:
        raise ValueError(f"y: got shape {tuple(y.shape)}, expected ({len(x)},), one label each")
    everyone = torch.arange(len(x), device=x.device)
    classes = [everyone] if y is None else [everyone[y == label] for label in y.unique()]
    order = everyone.clone()
    for members in classes:
        for group in members.split(size):
            # |x - eps|^2 is -2 x . eps and two terms that are the same in every order
            gain = x[group].flatten(1) @ eps[group].flatten(1).T  # (group, group)
            _, column = linear_sum_assignment(gain.detach().cpu().numpy(), maximize=True)
            order[group] = group[torch.as_tensor(column, device=x.device)]
    return eps[order]


@torch.no_grad()
def pairs(
    model, n: int, y: Tensor | None = None, steps: int = 32, sampler: Callable = heun
) -> tuple[Tensor, Tensor]:
    """Both ends of n trajectories of a model: data as it draws them, and the noise of each.

    Flow matching between these pairs (`objectives.flow_between`) makes trajectories straighter, and
    leaves what is drawn as it was: reflow.

    Args:
        y: (n,) labels, for a model with classes.
        steps: of the sampler.
        sampler: one without noise of its own, `samplers.heun` or `samplers.euler`.

    Returns:
        x in units of the data and eps of variance one, (n, *event) each.

    Raises:
        ValueError: n or steps is no positive integer, or labels are missing.

    Equation: eq-cost-chain

    Source: Liu, Gong and Liu (2023), arXiv:2209.03003, Flow Straight and Fast, section 2.

    >>> from dgm import toys
    >>> from dgm.denoisers import NoisedMixture
    >>> x, eps = pairs(NoisedMixture(toys.ring(device="cpu")), 5)
    >>> x.shape, eps.shape
    (torch.Size([5, 2]), torch.Size([5, 2]))
    """
    n = integer("n", n)
    check_labels(y, model.classes, (n,), unlabelled=True)
    times = grid(model.path, steps)
    late = model.start(n, times[0])
    x = model.restored(sampler(model, late, times, y))
    t = beside(times[0], late)
    return x, late / torch.hypot(model.path.alpha(t), model.path.sigma(t))
