"""Flows of images of 64 pixels, here and elsewhere: the same networks score points and draw them.

zuko and normflows are flows by others, which `make bench` installs. The networks alone are what no
flow of this architecture can leave out: one pass of each, and as many as there are coordinates
where a masked autoregressive flow draws.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from .._device import device
from ..models import Flow
from ..models.flows import Spline, alternating
from .clock import wait

SIZE, HIDDEN, BATCH, BINS, FEW = 64, 128, 256, 8, 10
COUPLINGS, MASKED, SPLINES = (
    "8 affine couplings",
    "5 masked autoregressive layers",
    "4 couplings by splines",
)
LAYERS = {COUPLINGS: 8, MASKED: 5, SPLINES: 4}
SCORING, DRAWING = "scoring", "drawing"
ZUKO, NORMFLOWS, NETWORKS = "zuko", "normflows", "networks alone"

Both = tuple[Callable[[Tensor], Tensor], Callable[[int], Tensor]]  # log p of x, and n draws


def our_flow(kind: str) -> Both:
    make = {COUPLINGS: Flow.coupling, MASKED: Flow.autoregressive, SPLINES: Flow.spline}[kind]
    flow = make(SIZE, layers=LAYERS[kind], hidden=(HIDDEN, HIDDEN)).to(device())
    return flow.log_prob, flow.sample


def networks_alone(kind: str) -> Both:
    """What the layers of `our_flow` ask of their networks, and nothing else."""
    inputs = SIZE if kind == MASKED else SIZE // 2
    networks = [layer.network for layer in our_flow(kind)[0].__self__.layers]

    def passes(x: Tensor, times: int = 1) -> None:
        for network in networks:
            for _ in range(times):
                network(x[:, :inputs])

    noise = torch.randn(BATCH, SIZE, device=device())
    return passes, lambda n: passes(noise[:n], SIZE if kind == MASKED else 1)


def zuko_flow(kind: str) -> Both:
    """Raises ImportError if zuko is not installed."""
    import zuko

    hidden = {"hidden_features": (HIDDEN, HIDDEN)}
    if kind == MASKED:
        flow = zuko.flows.MAF(SIZE, transforms=LAYERS[kind], **hidden)
    else:
        spline = zuko.transforms.MonotonicRQSTransform
        by = {"univariate": spline, "shapes": [(BINS,), (BINS,), (BINS - 1,)]}
        more = hidden | (by if kind == SPLINES else {})
        layer = zuko.flows.coupling.GeneralCouplingTransform
        layers = [layer(SIZE, mask=mask, **more) for mask in masks(kind)]
        zero, one = torch.zeros(SIZE), torch.ones(SIZE)
        base = zuko.lazy.UnconditionalDistribution(
            zuko.distributions.DiagNormal, zero, one, buffer=True
        )
        flow = zuko.lazy.Flow(layers, base)
    flow = flow.to(device())
    return lambda x: flow().log_prob(x), lambda n: flow().sample((n,))


def normflows_flow(kind: str) -> Both:
    """Its masked layers draw in one pass, and are read backwards here.

    Raises ImportError if normflows is not installed.
    """
    import normflows as nf

    def perceptron(inputs: int, outputs: int) -> nn.Module:
        return nf.nets.MLP([inputs, HIDDEN, HIDDEN, outputs])

    class InContext(nn.Module):
        """A network that is told nothing besides x."""

        def __init__(self, inputs: int, outputs: int):
            super().__init__()
            self.network = perceptron(inputs, outputs)

        def forward(self, x: Tensor, context: None = None) -> Tensor:
            return self.network(x)

    def layers() -> list:
        if kind == COUPLINGS:
            coupling = nf.flows.AffineCouplingBlock(perceptron(SIZE // 2, SIZE))
            return [coupling, nf.flows.Permute(SIZE, mode="swap")]
        if kind == MASKED:
            masked = nf.flows.MaskedAffineAutoregressive(
                SIZE, HIDDEN, num_blocks=1, use_residual_blocks=False
            )
            return [nf.flows.base.Reverse(masked), nf.flows.Permute(SIZE, mode="swap")]
        coupling = nf.flows.neural_spline.coupling.PiecewiseRationalQuadraticCoupling
        changed = (~alternating(SIZE)).int()
        by = {"num_bins": BINS, "tails": "linear", "tail_bound": Spline().high}
        spline = coupling(changed, InContext, **by)
        return [nf.flows.base.Reverse(spline), nf.flows.Permute(SIZE, mode="swap")]

    base = nf.distributions.DiagGaussian(SIZE, trainable=False)
    stack = [layer for _ in range(LAYERS[kind]) for layer in layers()]
    flow = nf.NormalizingFlow(base, stack).to(device())
    return flow.log_prob, lambda n: flow.sample(n)[0]


def masks(kind: str) -> list[Tensor]:
    return [alternating(SIZE, first=k % 2 == 0) for k in range(LAYERS[kind])]


def way(build: Callable[[str], Both], kind: str, direction: str, n: int) -> tuple:
    """As all ways do: a first call, and an epoch of n points in batches."""
    score, draw = build(kind)
    x = torch.randn(BATCH, SIZE, device=device())

    @torch.no_grad()
    def batches(count: int) -> None:
        for _ in range(count):
            score(x) if direction == SCORING else draw(BATCH)
        wait()

    return partial(batches, FEW), partial(batches, round(n / BATCH))


BUILDS = {
    ZUKO: zuko_flow,
    NORMFLOWS: normflows_flow,
    "dgm": our_flow,
    NETWORKS: networks_alone,
}
TASKS = {
    f"{direction} by {kind} of 64 coordinates": {
        name: partial(way, build, kind, direction) for name, build in BUILDS.items()
    }
    for kind in LAYERS
    for direction in (SCORING, DRAWING)
}
