"""Codes of several levels, each drawn given all above it."""

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
from torch import Tensor
from torch import distributions as D


class TopDown(D.Distribution):
    r"""$q(z_1) \, \prod_l q(z_l \mid z_{<l})$ over one code, the levels side by side, top first.

    `Chain` joins any two distributions; this is for any number of continuous levels, and it tells
    them apart: where q and p are both of this kind, the chain rule takes their divergence apart,

    $$\operatorname{KL}(q \,\Vert\, p) = \sum_l \mathbb E_{q(z_{<l})}
    \operatorname{KL}(q(z_l \mid z_{<l}) \,\Vert\, p(z_l \mid z_{<l})),$$

    and each term has a closed form at a draw of the levels above: see `levels`.

    Shapes: batch shape that of `first`, event shape the sum of the sizes.

    Args:
        first: $q(z_1)$, over vectors, with `rsample`.
        others: for l = 2, 3, ... a function of $z_{<l}$, (..., coordinates above), that returns
            $q(z_l \mid z_{<l})$.
        sizes: coordinates of every level, `first` included.

    >>> first = D.Independent(D.Normal(torch.zeros(5, 2), 1.0), 1)
    >>> below = lambda above: D.Independent(D.Normal(above.sum(-1, keepdim=True), 1.0), 1)
    >>> q = TopDown(first, [below, below], sizes=(2, 1, 1))
    >>> q.log_prob(q.rsample((7,))).shape, [level.event_shape[0] for level in q.levels(q.sample())]
    (torch.Size([7, 5]), [2, 1, 1])
    """

    arg_constraints = {}
    has_rsample = True
    support = D.constraints.independent(D.constraints.real, 1)

    def __init__(
        self,
        first: D.Distribution,
        others: Sequence[Callable[[Tensor], D.Distribution]],
        sizes: Sequence[int],
    ):
        self.first, self.others, self.sizes = first, others, tuple(sizes)
        event_shape = torch.Size([sum(self.sizes)])
        super().__init__(first.batch_shape, event_shape, validate_args=False)

    def expand(self, batch_shape, _instance=None) -> "TopDown":
        return TopDown(self.first.expand(batch_shape), self.others, self.sizes)

    def rsample(self, sample_shape=()) -> Tensor:
        z = self.first.rsample(torch.Size(sample_shape))
        for level in self.others:
            z = torch.cat([z, level(z).rsample()], -1)
        return z

    def levels(self, z: Tensor) -> list[D.Distribution]:
        r"""$q(z_1)$, and $q(z_l \mid z_{<l})$ at the levels above in z, the top first."""
        ends = accumulate(self.sizes[:-1])  # coordinates above each level but the first
        return [self.first, *(q(z[..., :n]) for q, n in zip(self.others, ends, strict=True))]

    def log_prob(self, z: Tensor) -> Tensor:
        parts = zip(self.levels(z), z.split(self.sizes, -1), strict=True)
        return sum(level.log_prob(part) for level, part in parts)
