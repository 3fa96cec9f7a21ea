"""The matrix products of a training step: what a step cannot do without, and what it could cost.

A linear layer from n_in to n_out features is three products, with x (rows, n_in), the weights
W (n_out, n_in) and the gradient g (rows, n_out) in the layer's output:

    x W^T (forwards),    g^T x (the gradient in W),    g W (the gradient in x).

The first layer of a network needs no gradient in x. Each product takes 2 rows n_in n_out
operations, an addition and a multiplication being two.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .._device import device
from .clock import seconds_per_call

Layer = tuple[int, int, int]  # rows, n_in, n_out
LATENT = 20


@dataclass(frozen=True)
class Work:
    """A VAE of binary images and how it is trained: side^2 - width - 20 - width - side^2.

    >>> Work(side=8, width=100).layers()
    [(128, 64, 100), (128, 100, 40), (128, 20, 100), (128, 100, 64)]
    """

    batch: int = 128
    width: int = 400
    k: int | None = None  # draws of the importance-weighted bound; None: the ELBO with one draw
    side: int = 28

    @property
    def shape(self) -> tuple[int, int, int]:
        return 1, self.side, self.side

    def layers(self) -> list[Layer]:
        codes, pixels = self.batch * (self.k or 1), self.side**2
        return [
            (self.batch, pixels, self.width),
            (self.batch, self.width, 2 * LATENT),
            (codes, LATENT, self.width),
            (codes, self.width, pixels),
        ]


def product_step(layers: list[Layer]) -> Callable[[], None]:
    """A function that computes the products of all layers once, on `dgm.device()`.

    >>> product_step([(128, 784, 400), (128, 400, 784)])()
    """
    place = device()
    operands = [
        (
            torch.randn(rows, n_in, device=place),
            torch.randn(n_out, n_in, device=place),
            torch.randn(rows, n_out, device=place),
        )
        for rows, n_in, n_out in layers
    ]

    def step() -> None:
        for x, w, _ in operands:
            x @ w.T  # (rows, n_out)
        for i, (x, w, g) in reversed(list(enumerate(operands))):
            g.T @ x  # (n_out, n_in)
            if i > 0:
                g @ w  # (rows, n_in)

    return step


def operations(layers: list[Layer]) -> int:
    """Of `product_step(layers)()`.

    >>> operations([(1, 2, 3), (1, 3, 4)])  # two products of 12 operations, three of 24
    96
    """
    each = [2 * rows * n_in * n_out for rows, n_in, n_out in layers]
    return 3 * sum(each) - each[0]


def bytes_moved(layers: list[Layer]) -> int:
    """What Adam at least reads (parameter, gradient, both moments) and writes (all but the
    gradient) in one step, seven float32 per weight.

    >>> bytes_moved([(128, 2, 3)])
    168
    """
    return 7 * 4 * sum(n_in * n_out for _, n_in, n_out in layers)


def peaks(place: str) -> tuple[float, float]:
    """What the device reaches at best: operations per second, and bytes read or written.

    Measured on a product of two large float32 matrices and on a copy too large for any cache.
    """
    os.environ["DGM_DEVICE"] = place
    n = 2048 if place == "cpu" else 8192
    a, b = torch.randn(n, n, device=device()), torch.randn(n, n, device=device())
    source = torch.zeros(2**26, device=device())  # 256 MiB
    copy = torch.empty_like(source)

    def rate(amount: float, run: Callable[[], object]) -> float:
        run()  # what only the first call pays for
        return amount / seconds_per_call(run)

    return rate(2 * n**3, lambda: a @ b), rate(2 * source.nbytes, lambda: copy.copy_(source))
