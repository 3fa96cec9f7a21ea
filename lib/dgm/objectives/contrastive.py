"""Contrastive divergence: learning an energy without its partition function."""

from torch import Tensor

from ..checks import check_examples
from ..protocols import given


def contrastive_divergence(model, x: Tensor, y: Tensor | None = None, steps: int = 1) -> Tensor:
    r"""$E(x') - E(x)$ with x' from `steps` steps of Gibbs sampling that start at the data x.

    The log-likelihood has the gradient $\mathbb E_{x' \sim p_\theta}[\nabla E(x')] - \nabla E(x)$:
    lower the energy of data, raise it where the model draws. Here x' stands in for a draw of
    the model. It remembers x, so that the gradient is biased, less so for more steps.

    Only the gradient means something. The value is not a log-likelihood, nor a bound, and not in
    nats: it does not measure progress.

    Shapes: x (B, *event), y (B,) for a model with classes -> (B,).

    Args:
        model: has `energy(x)` -> (B,) and `gibbs(x, steps)`, for example `dgm.models.RBM`.

    Source: Hinton (2002), doi:10.1162/089976602760128018, Training products of experts by
    minimizing contrastive divergence.

    >>> import torch
    >>> from dgm.models import RBM
    >>> contrastive_divergence(RBM((1, 8, 8)), torch.ones(5, 1, 8, 8)).shape
    torch.Size([5])
    """
    check_examples(model, x, y)
    condition = given(model, y)
    after = model.gibbs(x, steps, **condition)
    return model.energy(after, **condition) - model.energy(x, **condition)
