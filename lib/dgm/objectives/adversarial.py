r"""What the two players of a generative adversarial network maximise.

    critic_...(D, real, fake) -> (B,)        what the critic maximises
    generator_...(D, fake)    -> (B,)        what the generator maximises

`D` maps events (B, *event) to one number each, (B,); `real` and `fake` are batches of one shape.
They are objectives like all others (one number per example, larger is better), but not nats of a
model, and the number of one player says nothing without the other's.

| game           | critic               | generator                  |
|----------------|----------------------|----------------------------|
| minimax        | `critic_logistic`    | `generator_saturating`     |
| non-saturating | `critic_logistic`    | `generator_non_saturating` |
| Wasserstein    | `critic_wasserstein` | `generator_linear`         |
| hinge          | `critic_hinge`       | `generator_linear`         |

    step = adversarial_step(generator, critic, partial(critic_logistic, r1=1.0))
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from ..checks import one_each

Function = Callable[[Tensor], Tensor]


def critic_logistic(D: Function, real: Tensor, fake: Tensor, r1: float = 0.0) -> Tensor:
    r"""$\log \sigma(D(x)) + \log(1 - \sigma(D(x')))$ for real x and fake x', minus R1 if asked for.

    The log-likelihood of a classifier that tells real from fake. Its mean is the value V of the
    game, at most $2 \operatorname{JSD}(p_{data}, p_\theta) - \log 4$, with equality at the optimum
    $D = \log p_{data} - \log p_\theta$.

    Args:
        r1: gamma, the weight of `r1_penalty`; at 0 the penalty is not computed.

    Shapes: real, fake (B, *event) -> (B,).

    Raises:
        ValueError: real and fake differ in shape, or D does not return (B,).

    Equation: def-gan-value, eq-value-classifier, eq-optimal-critic, eq-logit-ratio, eq-value-jsd,
    def-dirac-gan

    Source: Goodfellow et al. (2014), arXiv:1406.2661, eq. 1; Mescheder et al. (2018),
    arXiv:1801.04406, eq. 9, for R1.

    >>> critic_logistic(lambda x: x.sum(1), torch.zeros(2, 3), torch.zeros(2, 3))
    tensor([-1.3863, -1.3863])
    """
    _check_pair(real, fake)
    # log(1 - sigma(a)) = log sigma(-a)
    value = logsigmoid(_values(D, real)) + logsigmoid(-_values(D, fake))
    return value - r1 * r1_penalty(D, real) if r1 else value


def critic_wasserstein(D: Function, real: Tensor, fake: Tensor, penalty: float = 10.0) -> Tensor:
    r"""$D(x) - D(x') - \lambda (\lVert \nabla D(\hat x) \rVert - 1)^2$, with $\lambda$ = `penalty`.

    Over all D with slopes of at most 1, the largest mean of D(x) - D(x') is the Wasserstein-1
    distance of data and model; the penalty holds the slopes near 1.

    Shapes: real, fake (B, *event) -> (B,). Raises: as `critic_logistic`.

    Equation: def-wgan-gp, eq-kantorovich, eq-penalty-slope

    Source: Gulrajani et al. (2017), arXiv:1704.00028, Improved Training of Wasserstein GANs, eq. 3.

    >>> x = torch.tensor([[0.0, 3.0]])
    >>> critic_wasserstein(lambda x: x @ torch.tensor([0.6, 0.8]), x, torch.zeros(1, 2))
    tensor([2.4000])
    """
    _check_pair(real, fake)
    value = _values(D, real) - _values(D, fake)
    return value - penalty * gradient_penalty(D, real, fake) if penalty else value


def critic_hinge(D: Function, real: Tensor, fake: Tensor) -> Tensor:
    r"""$\min(0, D(x) - 1) + \min(0, -D(x') - 1)$: no reward beyond a margin of 1 on either side.

    Shapes: real, fake (B, *event) -> (B,). Raises: as `critic_logistic`.

    Source: Lim and Ye (2017), arXiv:1705.02894, Geometric GAN; Miyato et al. (2018),
    arXiv:1802.05957, eq. 16.

    >>> critic_hinge(lambda x: x[:, 0], torch.tensor([[5.0], [0.5]]), torch.tensor([[0.0], [-3.0]]))
    tensor([-1.0000, -0.5000])
    """
    _check_pair(real, fake)
    return -relu(1 - _values(D, real)) - relu(1 + _values(D, fake))


def generator_saturating(D: Function, fake: Tensor) -> Tensor:
    r"""$-\log(1 - \sigma(D(x')))$: minimax, minus the critic's own gain from the fakes.

    Its derivative with respect to the logit a = D(x') is $\sigma(a)$, which vanishes where the
    critic is sure of a fake: there the generator learns nothing.

    Shapes: fake (B, *event) -> (B,). Raises: ValueError if D does not return (B,).

    Equation: eq-generator-slopes, eq-gaussian-game

    Source: Goodfellow et al. (2014), arXiv:1406.2661, eq. 1.

    >>> generator_saturating(lambda x: x[:, 0], torch.zeros(1, 1))
    tensor([0.6931])
    """
    return -logsigmoid(-_values(D, fake))


def generator_non_saturating(D: Function, fake: Tensor) -> Tensor:
    r"""$\log \sigma(D(x'))$: the log-probability that the fake is taken for real.

    Its derivative with respect to the logit a = D(x') is $1 - \sigma(a)$, near 1 where the critic
    is sure of a fake. The fixed point is that of the minimax game; the way there is not.

    Shapes: fake (B, *event) -> (B,). Raises: ValueError if D does not return (B,).

    Equation: eq-generator-slopes, eq-gaussian-game, eq-nonsaturating-gradient

    Source: Goodfellow et al. (2014), arXiv:1406.2661, section 3.

    >>> generator_non_saturating(lambda x: x[:, 0], torch.zeros(1, 1))
    tensor([-0.6931])
    """
    return logsigmoid(_values(D, fake))


def generator_linear(D: Function, fake: Tensor) -> Tensor:
    r"""$D(x')$: the value itself, for the Wasserstein and the hinge critic.

    Shapes: fake (B, *event) -> (B,). Raises: ValueError if D does not return (B,).

    Source: Arjovsky et al. (2017), arXiv:1701.07875, Wasserstein GAN, eq. 2; Lim and Ye (2017),
    arXiv:1705.02894.

    >>> generator_linear(lambda x: x[:, 0], torch.tensor([[2.0]]))
    tensor([2.])
    """
    return _values(D, fake)


def gradient_penalty(D: Function, real: Tensor, fake: Tensor) -> Tensor:
    r"""$(\lVert \nabla_{\hat x} D(\hat x) \rVert_2 - 1)^2$ at a random point between x and x'.

    $\hat x = x + u (x' - x)$ with one $u \sim U(0, 1)$ per example; the norm runs over all
    coordinates of the example. A penalty: to be subtracted from the critic's objective.

    Shapes: real, fake (B, *event) -> (B,), differentiable in the parameters of D.

    Equation: eq-penalty-linear

    Source: Gulrajani et al. (2017), arXiv:1704.00028, algorithm 1.

    >>> x = torch.zeros(4, 2)
    >>> gradient_penalty(lambda x: x @ torch.tensor([3.0, 4.0]), x, x)
    tensor([16., 16., 16., 16.])
    """
    _check_pair(real, fake)
    u = real.new_empty(len(real), *[1] * (real.ndim - 1)).uniform_()  # (B, 1, ..., 1)
    slope = _gradient(D, real.lerp(fake, u)).norm(dim=1)  # (B,)
    return (slope - 1).square()


def r1_penalty(D: Function, real: Tensor) -> Tensor:
    r"""$\frac12 \lVert \nabla_x D(x) \rVert_2^2$ at the data: zero when D is flat there.

    A penalty: gamma times it is subtracted from the critic's objective.

    Shapes: real (B, *event) -> (B,), differentiable in the parameters of D.

    Equation: def-r1, eq-dirac-r1

    Source: Mescheder et al. (2018), arXiv:1801.04406, Which Training Methods for GANs do actually
    Converge?, eq. 9.

    >>> r1_penalty(lambda x: x @ torch.tensor([3.0, 4.0]), torch.zeros(1, 2))
    tensor([12.5000])
    """
    return _gradient(D, real).square().sum(1) / 2


def _gradient(D: Function, x: Tensor) -> Tensor:
    """The gradient of each D(x_i) with respect to its own x_i, flat: (B, *event) -> (B, D)."""
    x, learning = x.detach().requires_grad_(), torch.is_grad_enabled()
    with torch.enable_grad():  # also in a validation, which differentiates nothing else
        # D(x_i) depends on x_i alone, so the gradient of the sum holds those of all examples
        (gradient,) = torch.autograd.grad(_values(D, x).sum(), x, create_graph=learning)
    return gradient.flatten(1)


def _values(D: Function, x: Tensor) -> Tensor:
    """D(x). Its shape is checked: (B, 1) would later be broadcast against (B,) in silence."""
    return one_each(D(x), x, "D")


def _check_pair(real: Tensor, fake: Tensor) -> None:
    if real.shape != fake.shape:
        raise ValueError(
            f"real, fake: got shapes {tuple(real.shape)} and {tuple(fake.shape)}, "
            "expected the same (B, *event)"
        )
