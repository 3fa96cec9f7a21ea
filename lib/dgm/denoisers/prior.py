"""A flow as the prior of a latent-variable model."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from ..checks import check_shape
from ..samplers import heun
from .likelihood import flow_likelihood


class FlowPrior(nn.Module):
    r"""The distribution of a flow, as a head without features: p(z) of a model whose codes the flow
    has learned. With the encoder and the decoder left as they are, the rate becomes

    $$\mathbb E_x \operatorname{KL}(q(z \mid x) \Vert p(z)) = I(x; z) + \operatorname{KL}(q(z)
    \Vert p(z)) ,$$

    whose second part is what a flow of the codes can save.

    Called without arguments it returns the distribution, with `sample` and `log_prob`; scale and
    mean of the codes are the flow's own (`standardise`).

    Args:
        flow: a `Diffusion`, or whatever has a velocity and `sample`, over codes.
        steps: of the solver, for samples and for densities.
        sampler: `samplers.heun` or `samplers.euler`.
        probes: random signs for the divergence; None for the exact trace, up to 16 coordinates.

    Equation: eq-latent-flow, eq-standardised-codes

    Source: Vahdat, Kreis and Kautz (2021), arXiv:2106.05931, Score-based Generative Modeling in
    Latent Space; Rombach et al. (2022), arXiv:2112.10752, for encoders that stay as they are.

    >>> from dgm.models import VAE, Diffusion
    >>> from dgm.paths import linear
    >>> vae = VAE.mlp((1, 8, 8), latent=4)
    >>> flow = Diffusion.mlp(4, path=linear(), predict="velocity")  # trained on codes
    >>> VAE(vae.encoder, vae.decoder, FlowPrior(flow), vae.shape).sample(3).shape
    torch.Size([3, 1, 8, 8])
    """

    def __init__(self, flow, steps: int = 32, sampler: Callable = heun, probes: int | None = None):
        super().__init__()
        self.flow, self.steps, self.sampler, self.probes = flow, steps, sampler, probes

    def forward(self) -> "FlowDistribution":
        return FlowDistribution(self)


class FlowDistribution(Distribution):
    """What `FlowPrior` returns: over one code, event shape that of the flow."""

    arg_constraints = {}

    def __init__(self, prior: FlowPrior):
        self.prior = prior
        super().__init__((), torch.Size(prior.flow.shape), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.real, len(self.event_shape))

    def sample(self, sample_shape=()) -> Tensor:
        shape = torch.Size(sample_shape)
        z = self.prior.flow.sample(
            shape.numel(), steps=self.prior.steps, sampler=self.prior.sampler
        )
        return z.reshape(*shape, *self.event_shape)

    def log_prob(self, z: Tensor) -> Tensor:
        """In nats, up to the solver's error: (..., *event) -> (...)."""
        check_shape(z, self.event_shape, "z")
        leading = z.shape[: z.dim() - len(self.event_shape)]
        flat = z.reshape(-1, *self.event_shape)
        how = {"steps": self.prior.steps, "probes": self.prior.probes}
        return flow_likelihood(self.prior.flow, flat, **how).reshape(leading)
