"""Linear algebra in enough digits, whatever the precision of the model that asks for it."""

import torch
from torch import Tensor


def float64(x: Tensor) -> Tensor:
    """x in float64; on the CPU if its device, Apple's GPU, has no float64."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def least_variance(x: Tensor, dtype: torch.dtype, floor: float) -> float:
    r"""The floor, or the least variance that a factor of this type can hold beside the largest.

    Let the eigenvalues of a covariance L L^T run from a to b. To round L to eps is to move the
    whitened data L^-1 (x - mu) by about eps sqrt(b / a); with a at least (100 eps)^2 b that is a
    hundredth of a standard deviation, 10^-4 nats. (In float64 a is lost earlier, in the sums that
    the covariance is made of: a must be well above eps b.) For b stands the total variance of the
    data, a number that EM does not change: a floor that moved would let the likelihood fall.

    Args:
        x: (N, D), the data.
        dtype: of the factor, the model's.
        floor: what the user asked for.

    >>> x = torch.tensor([[-1000.0], [1000.0]])  # variance 10^6
    >>> [f"{least_variance(x, dtype, 1e-6):.1e}" for dtype in (torch.float32, torch.float64)]
    ['1.4e-04', '1.0e-06']
    """
    eps = max(100 * torch.finfo(dtype).eps ** 2, torch.finfo(torch.float64).eps)
    return max(floor, 100 * eps * float(float64(x).var(0, correction=0).sum()))


def check_digits(x: Tensor) -> None:
    """Raise ValueError if x is of bfloat16 or float16: torch factorises no matrix of theirs."""
    if torch.finfo(x.dtype).bits < 32:
        raise ValueError(
            f"x: got {x.dtype}, expected float32 or float64, which covariances need: "
            "model.float() and x.float()"
        )
