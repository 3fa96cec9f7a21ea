"""Chains that go on from update to update."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..checks import integer


class ReplayBuffer(nn.Module):
    """The states of many chains, some of which are taken, moved and put back at each update.

    The model changes little from one update to the next, so that chains which go on need few steps
    to follow it: as many chains as there are examples in a batch are *persistent* chains, more are
    a *replay buffer*, in which old states rest for a while. Its state is part of the checkpoint of
    a run: `gradient_step(model, partial(contrastive_divergence, chains=buffer))`.

    Args:
        fresh: `fresh(n) -> (n, *event)`, states to start from.
        size: how many chains.
        renew: the probability that a chain which is drawn begins anew. Chains that never do can
            be caught where they no longer belong.

    Attributes:
        x: (size, *event).

    Raises:
        ValueError: size is no positive integer, renew no probability, or fresh does not make as
            many states as it was asked for.

    Source: Tieleman (2008), doi:10.1145/1390156.1390290, Training restricted Boltzmann machines
    using approximations to the likelihood gradient, for chains that persist; Du and Mordatch
    (2019), arXiv:1903.08689, Implicit Generation and Modeling with Energy Based Models, for a
    buffer of them, 5% of which are begun anew.

    >>> chains = ReplayBuffer(lambda n: torch.zeros(n, 2), size=100)
    >>> index, x = chains.draw(10)
    >>> chains.put(index, x + 1)
    >>> chains.x.sum()
    tensor(20.)
    """

    x: Tensor

    def __init__(self, fresh: Callable[[int], Tensor], size: int, renew: float = 0.0):
        super().__init__()
        self.fresh = fresh
        if not 0 <= renew <= 1:
            raise ValueError(f"renew: got {renew}, expected a probability")
        self.renew = renew
        self.register_buffer("x", self._start(integer("size", size)))

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """n different chains: their numbers (n,), and where they stand, (n, *event).

        Raises:
            ValueError: there are fewer chains.
        """
        if integer("n", n) > len(self.x):
            raise ValueError(f"size: got {len(self.x)} chains, expected {n} at least, one for each")
        index = torch.randperm(len(self.x), device=self.x.device)[:n]
        x = self.x[index]
        if self.renew:
            again = torch.rand(n, *[1] * (x.dim() - 1), device=x.device) < self.renew
            x = torch.where(again, self._start(n), x)
        return index, x

    @torch.no_grad()
    def put(self, index: Tensor, x: Tensor) -> None:
        """The chains of these numbers now stand at x."""
        self.x[index] = x

    def _start(self, n: int) -> Tensor:
        x = self.fresh(n)
        if not isinstance(x, Tensor) or x.shape[:1] != (n,):
            got = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
            raise ValueError(f"fresh: made {got} for n = {n}, expected ({n}, *event)")
        return x.detach().clone()
