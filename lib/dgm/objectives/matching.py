r"""Flow matching: a regression that learns the velocity of a flow from noise to data.

Each pair of an example and a noise moves along its own path, $\alpha_t x_0 + \sigma_t \epsilon$.
The mean velocity of all that are at one place at one time is a field, and the field carries the
whole distribution. `dgm.couplings` has what pairs them.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import check_examples, check_shape
from ..couplings import independent
from ..paths import LOG_SNR, beside, noised
from ..protocols import given
from .denoising import Times, check_size, hidden, stratified


def flow_matching(
    model,
    x: Tensor,
    y: Tensor | None = None,
    coupling: Callable[..., Tensor] = independent,
    times: Times = stratified,
    drop_label: float = 0.1,
    log_snr: tuple[float, float] = LOG_SNR,
) -> Tensor:
    r"""Minus the squared error of the velocity, at a random time of a path:

    $$-\lVert u_\theta(x_t, t) - (\dot\alpha_t x_0 + \dot\sigma_t \epsilon) \rVert^2, \qquad
    x_t = \alpha_t x_0 + \sigma_t \epsilon .$$

    Its minimiser is the mean velocity given x_t, whose flow has the distribution of x_t at every
    time. The floor of the loss is the variance of the target given x_t, which the coupling and the
    path decide: losses of two of them cannot be compared. Of independent pairs it is
    `denoising(weight="velocity")`; of others the model's `score` is none, as x_t is then no example
    under a noise that knows nothing of it: draw by `euler` or `heun`, not by `sde`. Not in nats.

    Shapes: x (B, *event), y (B,) for a model with classes -> (B,).

    Args:
        coupling: coupling(x, eps, y) -> eps, which noise goes with which example; labels are given
            if the model takes some.
        times, drop_label, log_snr: as for `denoising`.

    Raises:
        ValueError: as `denoising`.

    Equation: eq-flow-matching

    Source: Lipman et al. (2023), arXiv:2210.02747, Flow Matching for Generative Modeling, equation
    9; Liu, Gong and Liu (2023), arXiv:2209.03003; Albergo and Vanden-Eijnden (2023),
    arXiv:2209.15571.

    >>> from dgm.models import Diffusion
    >>> from dgm.paths import linear
    >>> model = Diffusion.mlp((2,), path=linear(), predict="velocity")
    >>> flow_matching(model, torch.randn(5, 2)).shape
    torch.Size([5])
    """
    check_examples(model, x, y)
    condition = given(model, y)
    x = model.standardised(x)
    check_size(x)
    eps = coupling(x, torch.randn_like(x), **condition)
    if condition:
        condition = {"y": hidden(y, drop_label)}
    return -velocity_error(model, x, eps, times, log_snr, **condition)


def flow_between(
    model,
    x: Tensor,
    ends: Tensor,
    times: Times = stratified,
    log_snr: tuple[float, float] = LOG_SNR,
) -> Tensor:
    r"""`flow_matching` of given pairs: each example with the point where its path ends, at t = 1.

    Of `couplings.pairs` it is reflow. The ends may also be data of another set, from which the flow
    then starts: `samplers.euler(model, ends, times)`.

    Shapes: x (B, *event), ends (B, *event), standardised -> (B,).

    Raises:
        ValueError: as `flow_matching`; ends that are not one for each example; a model with
            classes.

    Source: Liu, Gong and Liu (2023), arXiv:2209.03003, equation 1.

    >>> from dgm.models import Diffusion
    >>> from dgm.paths import linear
    >>> model = Diffusion.mlp((2,), path=linear(), predict="velocity")
    >>> flow_between(model, torch.randn(5, 2), torch.randn(5, 2)).shape
    torch.Size([5])
    """
    check_examples(model, x)
    given(model, None)
    check_shape(ends, x.shape, "ends")
    x = model.standardised(x)
    check_size(x)
    return -velocity_error(model, x, ends, times, log_snr)


def velocity_error(
    model, x0: Tensor, x1: Tensor, times: Times, log_snr: tuple[float, float], **condition: Tensor
) -> Tensor:
    r"""$\lVert u_\theta(x_t, t) - \dot x_t \rVert^2$ with $x_t = \alpha_t x_0 + \sigma_t x_1$, at
    times drawn between those of the two log SNR: (B, *event) twice -> (B,).
    """
    early, late = model.path.ends(log_snr, x0)
    share, weight = times(len(x0), x0)
    t = early + (late - early) * share  # (B,)
    wide = beside(t, x0)
    slope = model.path.d_alpha(wide) * x0 + model.path.d_sigma(wide) * x1
    error = model.velocity(noised(model.path, x0, t, x1), t, **condition) - slope
    return weight * error.flatten(1).square().sum(1)
