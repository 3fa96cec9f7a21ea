r"""Asking for what you want: denoisers made of denoisers.

Each function takes a denoiser and returns one, which every sampler takes in its place. Few of them
draw from the distribution that they seem to: guided slopes are in general those of no noised
density.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import check_shape, positive
from ..paths import beside, noised
from ..protocols import given
from .base import Denoising


class Changed(Denoising):
    """A denoiser as it was, but for its `denoise`."""

    def __init__(self, model, denoise: Callable[..., Tensor], classes: int):
        self.denoise, self.classes = denoise, classes
        self.path, self.shape = model.path, model.shape
        self.mean, self.scale = model.mean, model.scale


def guided(model, w: float) -> Denoising:
    r"""Classifier-free guidance: away from the data of all classes, towards those of y,

    $$\hat x_w = \hat x_y + w \, (\hat x_y - \hat x) = (1 + w) \, \hat x_y - w \, \hat x .$$

    w = 0 is the model itself; papers with a scale $\gamma$ mean $1 + w$. The same holds of scores,
    noises and velocities.

    Raises:
        ValueError: the model has no classes.

    Equation: eq-guidance, eq-guided-gaussian

    Source: Ho and Salimans (2022), arXiv:2207.12598, Classifier-Free Diffusion Guidance.

    >>> from dgm.models import Diffusion
    >>> model = Diffusion.mlp((2,), classes=3)
    >>> guided(model, 2.0).sample(3, torch.arange(3)).shape
    torch.Size([3, 2])
    """
    if not model.classes:
        raise ValueError("model: got one without classes, expected one that takes labels")

    def denoise(x: Tensor, t: float | Tensor, y: Tensor) -> Tensor:
        both = torch.cat([x, x]), beside(t, x).flatten().repeat(2)
        with_label, without = model.denoise(*both, torch.cat([y, torch.full_like(y, -1)])).chunk(2)
        return with_label + w * (with_label - without)

    return Changed(model, denoise, model.classes)


def classifier_guided(model, classifier: Callable[..., Tensor], w: float = 1.0) -> Denoising:
    r"""Bayes' rule for slopes, $\nabla \log p_t(x \mid y) = \nabla \log p_t(x) + \nabla \log p_t(y
    \mid x)$, the second one w times:

    $$\hat x_w = \hat x + w \, \frac{\sigma_t^2}{\alpha_t} \nabla_x \log p_t(y \mid x_t) .$$

    Exact for w = 1 and a classifier of *noisy* x_t. One of clean images is sure of itself on noise.

    Args:
        model: of all classes; of one with classes y = -1 is asked.
        classifier: of (x, t) -> logits (B, classes).

    Equation: eq-guidance-bayes

    Source: Dhariwal and Nichol (2021), arXiv:2105.05233; for Bayes' rule Song et al. (2021),
    arXiv:2011.13456.
    """
    classes = classifier(*_example(model)).shape[1]

    def denoise(x: Tensor, t: float | Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            x_t = x.detach().requires_grad_()
            log_p = classifier(x_t, t).log_softmax(1)  # (B, classes)
            (slope,) = torch.autograd.grad(log_p.gather(1, y[:, None]).sum(), x_t)
        time = beside(t, x)
        pull = model.path.sigma(time).square() / model.path.alpha(time)
        return model.denoise(x, t, **given(model, torch.full_like(y, -1))) + w * pull * slope

    return Changed(model, denoise, classes)


def inpainting(model, x: Tensor, known: Tensor) -> Denoising:
    r"""The known pixels put into every x_t, with fresh noise of its size, before it is denoised.

    They arrive as they are. What is drawn around them is biased: at every step the other pixels
    see a noisy version of the known ones, and never their values.

    Args:
        x: (*event), an event as data are; what it holds where it is not known means nothing.
        known: (*event), true where it is known.

    Raises:
        ValueError: one of them has another shape.

    Source: Song et al. (2021), arXiv:2011.13456, appendix I.2; for its bias Trippe et al. (2023),
    arXiv:2206.04119.
    """
    check_shape(x, model.shape)
    check_shape(known, model.shape, "known")
    own = model.standardised(x)

    def denoise(x_t: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        shown = noised(model.path, own.expand_as(x_t), t, torch.randn_like(x_t))
        x0 = model.denoise(torch.where(known.bool(), shown, x_t), t, **given(model, y))
        return torch.where(known.bool(), own, x0)

    return Changed(model, denoise, model.classes)


def observed(
    model,
    operator: Callable[[Tensor], Tensor],
    value: Tensor,
    sd: float,
    spread: Callable[[Tensor], Tensor] | None = None,
) -> Denoising:
    r"""Guidance by a measurement $y = A(x_0) + \text{sd} \cdot \text{noise}$, through the model:

    $$\hat x + \frac{\sigma_t^2}{\alpha_t} \nabla_{x_t} \log \mathcal N\big(y; A(\hat x(x_t)),
    \text{sd}^2 + v_t\big) .$$

    With $v_t = \operatorname{Var}[A(x_0) \mid x_t]$ it is exact for Gaussian data and linear A.
    Without, the pull is $(\text{sd}^2 + v_t) / \text{sd}^2$ times too strong.

    Args:
        operator: A, of standardised events (B, *event) -> (B, M).
        value: y, (M,).
        sd: of the measurement's noise.
        spread: of t (B,) -> v_t (B, 1) or (B, M); None for zero.

    Equation: eq-observed

    Source: Chung et al. (2023), arXiv:2209.14687, Diffusion Posterior Sampling; with a variance
    Song et al. (2023), Pseudoinverse-Guided Diffusion Models.
    """
    sd = positive("sd", sd)

    def denoise(x: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        time = beside(t, x)  # (B, 1, ...)
        with torch.enable_grad():
            x_t = x.detach().requires_grad_()
            x0 = model.denoise(x_t, t, **given(model, y))
            variance = sd**2 + (0 if spread is None else spread(time.flatten()))
            log_p = -(value - operator(x0)).square() / (2 * variance)  # (B, M)
            (slope,) = torch.autograd.grad(log_p.sum(), x_t)
        return x0.detach() + model.path.sigma(time).square() / model.path.alpha(time) * slope

    return Changed(model, denoise, model.classes)


def _example(model) -> tuple[Tensor, float]:
    """Something to show a classifier: (x, t)."""
    return model.mean.expand(1, *model.shape), 0.5
