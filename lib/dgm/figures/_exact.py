"""Mixtures of round Gaussians on the line and in the plane, as the figures have them."""

import math

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from ..denoisers import NoisedMixture
from ..energies import grid_points
from ..paths import Path
from ..toys import Noised

MOST_CELLS = 256  # along a side


def mixture_spec(
    density: MixtureSameFamily, dimensions: tuple[int, ...], mean: float = 0.0, scale: float = 1.0
) -> dict[str, list]:
    """What the page needs to know of a density, of (x - mean) / scale.

    Raises:
        ValueError: it is no mixture of round Gaussians, or has another number of coordinates.
    """
    noised = Noised(density)
    if len(noised.shape) != 1 or noised.shape[0] not in dimensions:
        raise ValueError(
            f"density: got one of events {noised.shape}, expected {dimensions} coordinates"
        )
    variance = noised.variance.double().cpu()
    if not torch.equal(variance, variance[:, :1].expand_as(variance)):
        raise ValueError("density: got one with other parts, expected round Gaussians")
    centres = (noised.mean.double().cpu() - mean) / scale
    return {
        "means": [[round(v, 6) for v in centre] for centre in centres.tolist()],
        "variances": [float(f"{v:.6g}") for v in (variance[:, 0] / scale**2).tolist()],
        "logWeights": [round(v, 6) for v in noised.log_weights.double().cpu().tolist()],
    }


def mixture(spec: dict) -> MixtureSameFamily:
    """The density that the page has, in double precision."""
    means, variances, log_weights = (
        torch.tensor(spec[name], dtype=torch.float64)
        for name in ("means", "variances", "logWeights")
    )
    deviation = variances.sqrt()[:, None].expand_as(means)
    parts = Independent(Normal(means, deviation), 1)
    return MixtureSameFamily(Categorical(logits=log_weights), parts)


def denoiser(spec: dict, path: Path) -> NoisedMixture:
    """The truth about it, in double precision."""
    labels = torch.tensor(spec["labels"]) if "labels" in spec else None
    return NoisedMixture(mixture(spec), path, labels)


def reach(spec: dict) -> float:
    """How far from the origin the means are."""
    return max(abs(v) for mean in spec["means"] for v in mean)


def entropy(spec: dict) -> float:
    """-E log p in nats, a sum over a grid in the plane, two of its cells to a deviation."""
    box = reach(spec) + 6 * math.sqrt(max(spec["variances"]))
    cells = min(MOST_CELLS, math.ceil(4 * box / math.sqrt(min(spec["variances"]))))
    x = grid_points(box, cells, like=torch.zeros((), dtype=torch.float64))
    log_p = mixture(spec).log_prob(x)
    return -((2 * box / cells) ** 2 * (log_p.exp() * log_p).sum()).item()


def draws(spec: dict, normal, n: int) -> Tensor:
    """So many draws, their components in turn as the golden ratio has it: (n, D).

    `normal(n, D)` are numbers from N(0, 1). The page makes the same ones.
    """
    turn = (0.5 + torch.arange(n, dtype=torch.float64) * 0.618033988749895) % 1
    edges = torch.tensor(spec["logWeights"], dtype=torch.float64).exp().cumsum(0)
    which = torch.bucketize(turn, edges[:-1], right=True)
    means, variances = (
        torch.tensor(spec[name], dtype=torch.float64) for name in ("means", "variances")
    )
    return means[which] + variances[which].sqrt()[:, None] * normal(n, means.shape[1])
