"""What trains an autoencoder whose code is rounded."""

from torch import Tensor

from ..checks import check_examples
from ..estimators import pass_gradient


def vq(model, x: Tensor, y: Tensor | None = None, beta: float = 0.25) -> Tensor:
    r"""The objective of a VQ-VAE, to be maximised; sg stops a gradient:

    $$\log p_\theta(x \mid z_q) - \lVert \mathrm{sg}(z) - e \rVert^2
    - \beta \, \lVert z - \mathrm{sg}(e) \rVert^2, \qquad z_q = z + \mathrm{sg}(e - z).$$

    z are the encoder's outputs and e the nearest vectors. The decoder's gradient in $z_q$ goes to
    the encoder as it is. The second term teaches the vectors, and is there only if they learn by a
    gradient; the third, the commitment, keeps outputs from running away from them. It is no bound
    and no log-likelihood: what codes cost is not in it. Squares are summed over an example.

    Args:
        model: has `outputs`, `quantiser` and `decoder`, as `dgm.models.VQVAE`.
        x: (B, *event).
        y: not used.
        beta: of the commitment; 0 for a grid, where outputs stay by themselves.

    Returns:
        (B,).

    Raises:
        ValueError: x has another event shape or type than the model's.

    Equation: def-vq-objective, eq-vq-gradients, eq-dead-code

    Source: van den Oord, Vinyals and Kavukcuoglu (2017), arXiv:1711.00937, equation 3, whose first
    term has the sign of a likelihood here.

    >>> import torch
    >>> from dgm.models import VQVAE
    >>> vq(VQVAE.mlp((1, 8, 8)), torch.ones(5, 1, 8, 8)).shape
    torch.Size([5])
    """
    check_examples(model, x, y)
    z = model.outputs(x)  # (B, M, latent)
    e, _ = model.quantiser(z)
    value = model.decoder(pass_gradient(e, z)).log_prob(x)  # (B,)
    if model.quantiser.vectors.requires_grad:
        value = value - (z.detach() - e).square().flatten(1).sum(1)
    return value - beta * (z - e.detach()).square().flatten(1).sum(1)
