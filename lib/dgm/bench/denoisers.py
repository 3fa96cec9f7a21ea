"""A flow of the plane and a diffusion model of images, here and elsewhere: an update, and draws.

flow_matching and denoising_diffusion_pytorch are by others; `make bench` installs them. All ways
train one network, and draw by as many evaluations of it. The networks alone are what none can leave
out: forward, backward and Adam in training, forward in drawing.
"""

import contextlib
import io
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from .._device import device
from ..conditioned import ResidualPerceptron, UNet
from ..models import Diffusion
from ..objectives import denoising, flow_matching
from ..paths import linear
from ..samplers import ddim, euler
from ..train import gradient_step
from .clock import wait
from .flows import DRAWING, NETWORKS

FLOW, IMAGES = "a flow of the plane", "a diffusion model of 28 x 28 pixels"
SHAPES = {FLOW: (2,), IMAGES: (1, 28, 28)}
BATCHES = {FLOW: 512, IMAGES: 128}
STEPS, FEW, TRAINING = 20, 2, "training"
MATCHING, DDPM = "flow_matching", "denoising_diffusion_pytorch"

Both = tuple[Callable[[Tensor], object], Callable[[int], Tensor]]  # an update from x, and n draws


def network(kind: str) -> nn.Module:
    """Of x and log SNR: 3 residual blocks of width 128, or a U-Net."""
    shape = SHAPES[kind]
    return (ResidualPerceptron(shape) if kind == FLOW else UNet(shape)).to(device())


def ours(kind: str) -> Both:
    path, predict = (linear(), "velocity") if kind == FLOW else (None, "v")
    model = Diffusion(network(kind), SHAPES[kind], path, predict).to(device())
    step = gradient_step(model, flow_matching if kind == FLOW else denoising)
    sampler = euler if kind == FLOW else ddim
    return lambda x: step((x,)), partial(model.sample, steps=STEPS, sampler=sampler)


def networks_alone(kind: str) -> Both:
    """What every way asks of its network, and nothing else."""
    net = network(kind)
    noise = torch.randn(BATCHES[kind], *SHAPES[kind], device=device())
    level = torch.linspace(-5, 5, BATCHES[kind], device=device())  # (B,)

    def draw(n: int) -> Tensor:
        for _ in range(STEPS):
            value = net(noise[:n], level[:n])
        return value

    update = descent(net, lambda x: net(x, level[: len(x)]).square().mean())
    return update, draw


def descent(model: nn.Module, loss: Callable[[Tensor], Tensor]) -> Callable[[Tensor], None]:
    """An update by Adam, as usually written."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def update(x: Tensor) -> None:
        optimizer.zero_grad()
        loss(x).backward()
        optimizer.step()

    return update


def flow_matching_library(kind: str) -> Both:
    """As its documentation trains and samples; its time runs from noise to data.

    Raises ImportError if flow_matching is not installed.
    """
    from flow_matching.path import AffineProbPath
    from flow_matching.path.scheduler import CondOTScheduler
    from flow_matching.solver import ODESolver

    net, path = network(kind), AffineProbPath(CondOTScheduler())

    def field(x: Tensor, t: Tensor) -> Tensor:
        return net(x, 2 * t.expand(len(x)).logit())

    def loss(x: Tensor) -> Tensor:
        t = torch.rand(len(x), device=x.device)
        drawn = path.sample(t=t, x_0=torch.randn_like(x), x_1=x)
        return (field(drawn.x_t, drawn.t) - drawn.dx_t).pow(2).mean()

    def draw(n: int) -> Tensor:
        noise = torch.randn(n, *SHAPES[kind], device=device())
        return ODESolver(field).sample(noise, step_size=1 / STEPS, method="euler")

    return descent(net, loss), draw


def ddpm_library(kind: str) -> Both:
    """Its thousand steps, of which it draws by a few.

    Raises ImportError if denoising_diffusion_pytorch is not installed.
    """
    from denoising_diffusion_pytorch import GaussianDiffusion

    class Told(nn.Module):
        """Our network, as this library asks for one."""

        channels = out_dim = SHAPES[kind][0]
        self_condition = False

        def __init__(self):
            super().__init__()
            self.network = network(kind)

        def forward(self, x: Tensor, t: Tensor, x_self_cond: None = None) -> Tensor:
            return self.network(x, self.log_snr[t])

    model = Told()
    size = {"image_size": SHAPES[kind][1], "sampling_timesteps": STEPS}
    diffusion = GaussianDiffusion(model, beta_schedule="cosine", objective="pred_v", **size)
    diffusion.to(device())
    model.log_snr = diffusion.alphas_cumprod.logit()  # (1000,)

    def draw(n: int) -> Tensor:
        with contextlib.redirect_stderr(io.StringIO()):  # a bar for each call
            return diffusion.sample(n)

    return descent(model, diffusion), draw


def way(build: Callable[[str], Both], kind: str, task: str, n: int) -> tuple:
    """As all ways do: a first call, and n examples in batches."""
    update, draw = build(kind)
    x = torch.randn(BATCHES[kind], *SHAPES[kind], device=device())

    def batches(count: int) -> None:
        with torch.set_grad_enabled(task == TRAINING):
            for _ in range(count):
                update(x) if task == TRAINING else draw(len(x))
        wait()

    return partial(batches, FEW), partial(batches, max(1, round(n / len(x))))


BUILDS = {
    FLOW: {MATCHING: flow_matching_library, "dgm": ours, NETWORKS: networks_alone},
    IMAGES: {DDPM: ddpm_library, "dgm": ours, NETWORKS: networks_alone},
}
TASKS = {
    f"{TRAINING} {kind}" if task == TRAINING else f"{task} from {kind}, {STEPS} evaluations": {
        name: partial(way, build, kind, task) for name, build in builds.items()
    }
    for kind, builds in BUILDS.items()
    for task in (TRAINING, DRAWING)
}
OTHERS = {task: next(iter(ways)) for task, ways in TASKS.items()}  # who else does it
