"""Paths for annealed importance sampling: of a Boltzmann machine, and of a decoder's posterior."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints

from ..checks import check_data, integer, positive
from ..models import RBM
from ..protocols import LatentVariable, given
from ..samplers import mala


class RBMPath:
    r"""From independent bits to a restricted Boltzmann machine:

    $$f_\beta(x) = e^{((1 - \beta) b_0 + \beta b)^\top x} \prod_j
      \big(1 + e^{\beta (c_j + (x^\top W)_j)}\big) .$$

    Chains move by block Gibbs. At the start the hidden units are fair coins, and
    $Z_0 = 2^H \prod_i (1 + e^{b_{0, i}})$.

    Args:
        rbm: a `dgm.models.RBM`.
        x: data (N, *shape) whose rates the bits have at the start, with one more example of each
            value added, so that no rate is 0 or 1; a shorter way than from fair coins, b_0 = 0.

    Raises:
        ValueError: x is no data of the model.

    Source: Salakhutdinov and Murray (2008), doi:10.1145/1390156.1390266, section 4.1.
    """

    def __init__(self, rbm: RBM, x: Tensor | None = None):
        self.rbm = rbm
        self.base = torch.zeros_like(rbm.visible_bias.detach())  # (D,), b_0
        if x is not None:
            check_data(rbm, x)
            self.base = ((x.flatten(1).sum(0) + 1) / (len(x) + 2)).logit()
        hidden = rbm.weight.shape[1]
        self.log_z0 = F.softplus(self.base).sum() + hidden * F.softplus(self.base.new_zeros(()))

    def start(self, n: int) -> Tensor:
        """(n, *shape)."""
        rates = self.base.sigmoid().expand(integer("n", n), -1)
        return torch.bernoulli(rates).reshape(n, *self.rbm.shape)

    def log_f(self, x: Tensor, beta: float) -> Tensor:
        """(n, *shape) -> (n,)."""
        x = x.flatten(1)  # (n, D)
        hidden = F.softplus(beta * (self.rbm.hidden_bias + x @ self.rbm.weight)).sum(1)
        return x @ self._visible_bias(beta) + hidden

    @torch.no_grad()
    def move(self, x: Tensor, beta: float) -> Tensor:
        """One step of block Gibbs: (n, *shape) -> (n, *shape)."""
        rbm = self.rbm
        h = torch.bernoulli((beta * (rbm.hidden_bias + x.flatten(1) @ rbm.weight)).sigmoid())
        rates = (self._visible_bias(beta) + beta * h @ rbm.weight.T).sigmoid()  # (n, D)
        return torch.bernoulli(rates).reshape(x.shape)

    def _visible_bias(self, beta: float) -> Tensor:
        return (1 - beta) * self.base + beta * self.rbm.visible_bias


class DecoderPath:
    r"""From the prior of a latent-variable model to its posterior, for each example x:

    $$f_\beta(z) = p(z) \, p(x \mid z)^\beta, \qquad Z_0 = 1, \quad Z = p(x) .$$

    So `ais` estimates $p(x)$ of each example and needs no encoder; what an encoder says of
    $\log p(x)$ (`importance_weighted`) can be held beside it. Chains move by `mala`.

    Args:
        model: has `prior` and `likelihood`, of continuous codes.
        x: (B, *event).
        y: labels (B,), for a model with classes.
        step: of `mala`, in squared units of z; a posterior that is narrow needs a short one.
        moves: how many at each stop.

    Raises:
        ValueError: the model is no latent-variable model, its codes are discrete, x are not its
            data, or step or moves is not positive.

    Source: Wu, Burda, Salakhutdinov and Grosse (2017), arXiv:1611.04273, On the quantitative
    analysis of decoder-based generative models.

    >>> from dgm.evaluate import ais
    >>> from dgm.models import VAE
    >>> path = DecoderPath(VAE.mlp((1, 8, 8)), torch.ones(3, 1, 8, 8))
    >>> ais(path, torch.linspace(0, 1, 11), chains=5).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        model: LatentVariable,
        x: Tensor,
        y: Tensor | None = None,
        step: float = 0.05,
        moves: int = 1,
    ):
        if not isinstance(model, LatentVariable):
            raise ValueError(
                f"model: got {type(model).__name__}, expected one with prior, posterior and "
                "likelihood"
            )
        check_data(model, x, y)
        self.model, self.x, self.condition = model, x, given(model, y)
        self.step, self.moves = positive("step", step), integer("moves", moves)
        self.prior = model.prior(**self.condition)  # batch shape () or (B,)
        if self.prior.support.is_discrete:
            raise ValueError(
                f"model: got codes in {self.prior.support}, expected continuous ones, on which "
                "mala can move"
            )
        self.log_z0 = x.new_zeros(len(x))

    def start(self, n: int) -> Tensor:
        """(n, B, latent)."""
        lead = (n,) if self.prior.batch_shape else (n, len(self.x))
        return self.prior.sample(lead)

    def log_f(self, z: Tensor, beta: float) -> Tensor:
        """(n, B, latent) -> (n, B)."""
        log_likelihood = self.model.likelihood(z, **self.condition).log_prob(self.x)
        return self.prior.log_prob(z) + beta * log_likelihood

    def move(self, z: Tensor, beta: float) -> Tensor:
        """Steps of `mala`: (n, B, latent) -> (n, B, latent)."""
        target = _Flattened(self, z.shape, beta)
        return mala(target, z.flatten(0, 1), self.moves, step=self.step).reshape(z.shape)


class _Flattened:
    """f_beta of a decoder's path, as samplers ask for it: one code after the other."""

    support, classes = constraints.real, 0

    def __init__(self, path: DecoderPath, shape: torch.Size, beta: float):
        self.path, self.codes, self.beta = path, shape, beta

    def log_prob(self, z: Tensor) -> Tensor:
        """(n B, latent) -> (n B,)."""
        return self.path.log_f(z.reshape(self.codes), self.beta).flatten()
