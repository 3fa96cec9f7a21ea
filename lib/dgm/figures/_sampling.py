r"""What the figures of samplers share: paths that the page knows, noise that it draws too, steps.

The page has its own random numbers, so that a figure looks the same at every visit. `Normals` makes
the same ones, and `steps` goes the same way from them: a figure's numbers and its still picture are
those of the page, and depend on nothing that was drawn before.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..paths import Path, cosine, grid, linear, vp
from ..samplers.reverse import ddim_step

KNOWN = {"cosine": cosine, "linear": linear, "vp": vp}  # PATHS of figures.js


def path_spec(path: Path) -> dict:
    """A path as the page reads it: its name, and the time at which samplers start.

    Raises:
        ValueError: the page does not know the path.
    """
    t = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    known = KNOWN.get(path.name)
    if known is None or not torch.allclose(known().alpha(t), path.alpha(t)):
        raise ValueError(
            f"path: got {path.name!r}, expected one that the page knows: cosine(), linear() or "
            "vp() with its own rates"
        )
    return {"name": path.name, "late": grid(path, 1)[0]}


def size(path: Path, t: float) -> float:
    """That of x_t for data of variance 1."""
    t = torch.tensor(t, dtype=torch.float64)
    return torch.hypot(path.alpha(t), path.sigma(t)).item()


class Normals:
    """Numbers from N(0, 1), the same ones that figures.js draws from this seed (mulberry32).

    >>> draw, again = Normals(seed=1), Normals(seed=1)
    >>> torch.equal(draw(2, 3).flatten(), torch.cat([again(1), again(5)]))
    True
    """

    def __init__(self, seed: int):
        self.seed, self.drawn = seed, 0

    def __call__(self, *shape: int) -> Tensor:
        """The next ones, in double precision."""
        n = int(np.prod(shape))
        which = np.arange(self.drawn, self.drawn + n)
        self.drawn += n
        pair = which // 2  # two uniform numbers make two normal ones
        radius = np.sqrt(-2 * np.log(uniform(self.seed, 2 * pair)))
        angle = 2 * np.pi * uniform(self.seed, 2 * pair + 1)
        normal = radius * np.where(which % 2 == 0, np.cos(angle), np.sin(angle))
        return torch.from_numpy(normal).reshape(shape)


class Uniforms:
    """Numbers from U(0, 1), the same ones that figures.js draws from this seed (mulberry32).

    >>> draw, again = Uniforms(seed=1), Uniforms(seed=1)
    >>> torch.equal(draw(2, 3).flatten(), torch.cat([again(1), again(5)]))
    True
    """

    def __init__(self, seed: int):
        self.seed, self.drawn = seed, 0

    def __call__(self, *shape: int) -> Tensor:
        """The next ones, in double precision."""
        which = np.arange(self.drawn, self.drawn + int(np.prod(shape)))
        self.drawn += len(which)
        return torch.from_numpy(uniform(self.seed, which)).reshape(shape)


def uniform(seed: int, which: np.ndarray) -> np.ndarray:
    """The numbers in (0, 1) with these places, from 0, in the sequence of a seed."""
    low = np.uint64(0xFFFFFFFF)  # arithmetic is of 32 bits

    def times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a * b) & low  # of two numbers of 32 bits: 64 hold all that is needed

    step = np.uint64(0x6D2B79F5)
    s = (np.uint64(seed % 2**32) + times(which.astype(np.uint64) + np.uint64(1), step)) & low
    shift = [np.uint64(k) for k in (15, 7, 14)]
    t = times(s ^ (s >> shift[0]), s | np.uint64(1))
    t = ((t + times(t ^ (t >> shift[1]), t | np.uint64(61))) & low) ^ t
    return ((t ^ (t >> shift[2])).astype(np.float64) + 0.5) / 2**32


@torch.no_grad()
def steps(
    denoise: Callable[[Tensor, float], Tensor],
    path: Path,
    x: Tensor,
    times: list[float],
    eta: float = 0.0,
    draw: Callable[..., Tensor] | None = None,
) -> Iterator[tuple[float, Tensor, Tensor]]:
    r"""The way of `dgm.samplers.ddim` from noise x to data: time, x_t and $\hat x$ at each stop.

    With eta the new noise is `draw(*shape)`. At the last time $\hat x$ is x itself.
    """
    for t, s in pairwise(times):
        x0 = denoise(x, t)
        yield t, x, x0
        x = ddim_step(path, x, x0, s, t, eta, draw(*x.shape).to(x) if eta else None)
    yield times[-1], x, x
