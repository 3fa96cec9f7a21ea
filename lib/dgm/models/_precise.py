"""Linear algebra in enough digits, whatever the precision of the model that asks for it."""

import torch
from torch import Tensor


def float64(x: Tensor) -> Tensor:
    """x in float64; on the CPU if its device, Apple's GPU, has no float64."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def resolution(dtype: torch.dtype) -> float:
    r"""The least variance, as a share of the total, that a factor L of this type can hold.

    Let the eigenvalues of a covariance L L^T run from a to b. To round L to eps is to move the
    whitened data L^-1 (x - mu) by about eps sqrt(b / a); with a at least (100 eps)^2 b that is a
    hundredth of a standard deviation, 10^-4 nats. (In float64 a is lost earlier, in the sums that
    the covariance is made of: a must be well above eps b.)

    >>> [f"{resolution(dtype):.1e}" for dtype in (torch.float32, torch.float64)]
    ['1.4e-10', '2.2e-14']
    """
    return 100 * max(100 * torch.finfo(dtype).eps ** 2, torch.finfo(torch.float64).eps)


def least_variance(x: Tensor, floor: float) -> float:
    """The floor, or what can be resolved beside the total variance of the data, (N, D).

    The total variance is a number that EM does not change: a floor that moved would let the
    likelihood fall.

    >>> x = torch.tensor([[-1000.0], [1000.0]])  # variance 10^6
    >>> f"{least_variance(x, floor=1e-6):.1e}", f"{least_variance(x.double(), floor=1e-6):.1e}"
    ('1.4e-04', '1.0e-06')
    """
    return max(floor, resolution(x.dtype) * float(float64(x).var(0, correction=0).sum()))


def check_digits(x: Tensor) -> None:
    """Raise ValueError if x is of bfloat16 or float16: torch factorises no matrix of theirs."""
    if torch.finfo(x.dtype).bits < 32:
        raise ValueError(
            f"x: got {x.dtype}, expected float32 or float64, which covariances need: "
            "model.float() and x.float()"
        )
