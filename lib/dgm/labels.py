"""Few labels: hide most of a split's, and make batches in which the few that are left are seen.

>>> import dgm
>>> data = dgm.data.load("digits", device="cpu")
>>> train = few(data.train, 100)
>>> int((train.y >= 0).sum()), len(train)
(100, 1437)
>>> x, y = next(iter(MixedBatches(train, batch_size=64, labelled=16)))
>>> x.shape, int((y[64:] >= 0).sum())
(torch.Size([80, 1, 8, 8]), 16)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat

import torch
from torch import Tensor

from .checks import integer
from .data import Split


def few(split: Split, n: int, seed: int = 0) -> Split:
    """The same examples with all but n labels hidden: y = -1.

    Each class that occurs keeps as many labels as any other, drawn with this seed (the same on
    every device).

    Raises:
        ValueError: no example is labelled, n is no positive multiple of the number of classes, or
            some class has too few examples.
    """
    y = split.y.cpu()
    classes = known(split).y.unique().tolist()
    each, rest = divmod(integer("n", n), len(classes))
    if rest:
        raise ValueError(
            f"n: got {n}, expected a multiple of {len(classes)}, the number of classes"
        )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(y), generator=generator, device="cpu")
    kept = torch.full_like(y, -1)
    for label in classes:
        own = order[y[order] == label][:each]
        if len(own) < each:
            raise ValueError(f"n: got {n}, but class {label} has only {len(own)} labels")
        kept[own] = label
    return Split(split.x, kept.to(split.y.device), split.levels, split.rows)


def known(split: Split) -> Split:
    """The labelled examples alone.

    Raises:
        ValueError: there are none.
    """
    kept = split.y >= 0
    if not kept.any():
        raise ValueError("split: every label is -1, expected at least one labelled example")
    return split.select(kept)


@dataclass(frozen=True, eq=False)
class MixedBatches:
    """Batches of all examples, each followed by labelled ones: (B + labelled, *event).

    One pass goes once through all examples; labelled ones are dealt out anew as often as needed.
    Of 100 labels among 60,000, a plain batch would most often hold none. Objectives take account of
    the mixture through `labelled_share`.

    Args:
        split: with labels, some of them -1.
        batch_size: of all examples together.
        labelled: how many labelled ones are added to each batch, at most as many as there are.
        binarize: as in `Split.batches`.

    Raises:
        ValueError: no example is labelled, or `labelled` is not positive; or as `Split.batches`.
    """

    split: Split
    batch_size: int
    labelled: int
    binarize: str | None = None

    def __post_init__(self):
        self._labelled()  # raises what is wrong with the arguments now, not in training

    @property
    def share(self) -> float:
        """The share of labelled examples in the data."""
        return int((self.split.y >= 0).sum()) / len(self.split)

    def __len__(self) -> int:
        return len(self.split.batches(self.batch_size))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        labelled = chain.from_iterable(repeat(self._labelled()))
        for x, y in self.split.batches(self.batch_size, binarize=self.binarize):
            more_x, more_y = next(labelled)
            yield torch.cat([x, more_x]), torch.cat([y, more_y])

    def _labelled(self):
        """The labelled examples alone, in batches."""
        alone = known(self.split)
        size = min(integer("labelled", self.labelled), len(alone))
        return alone.batches(size, binarize=self.binarize, drop_last=True)
