"""A VQ-VAE of images, here and elsewhere: an update, draws, and the codebook alone.

vector_quantize_pytorch is by others; `make bench` installs it. Both ways have the networks of the
recorded VQ-VAE, straight-through gradients, and a codebook that follows by moving averages with
restarts. The networks alone are what none can leave out: forward, backward and Adam in training,
the decoder in drawing.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from .._device import device
from ..models import Codebook
from ..objectives import vq
from ..reproduce.vq_vae import CODES, LATENT, on_a_grid
from ..train import codebook_step
from .clock import wait
from .denoisers import FEW, TRAINING, descent
from .flows import DRAWING, NETWORKS

IMAGES, BOOK = "a VQ-VAE of 28 x 28 pixels", "a codebook of 512 vectors of 64 numbers"
SHAPES = {IMAGES: (1, 28, 28), BOOK: (16, 64)}  # of an example; of the second, outputs
VECTORS, DECAY, RESTART, BATCH = 512, 0.99, 0.1, 128
QUANTIZE = "vector_quantize_pytorch"

Both = tuple[Callable[[Tensor], object], Callable[[int], Tensor]]  # an update from x, and n draws


def ours(kind: str) -> Both:
    if kind == BOOK:
        book = Codebook(VECTORS, SHAPES[BOOK][1], DECAY, RESTART).to(device())

        @torch.no_grad()
        def follow(z: Tensor) -> Tensor:
            e, k = book(z)
            book.update(z, k)
            return e

        return follow, lambda n: book.vectors[random_codes(n, kind)]
    model = on_a_grid(SHAPES[kind]).to(device())
    step = codebook_step(model, vq)
    return lambda x: step((x,)), model.sample


def library(kind: str) -> Both:
    """As its documentation trains.

    Raises ImportError if vector_quantize_pytorch is not installed.
    """
    from vector_quantize_pytorch import VectorQuantize

    codes, latent = (VECTORS, SHAPES[BOOK][1]) if kind == BOOK else (CODES, LATENT)
    quantiser = VectorQuantize(
        latent,
        codes,
        decay=DECAY,
        threshold_ema_dead_code=RESTART,
        commitment_weight=0.25,
        rotation_trick=False,
    ).to(device())

    def vectors(n: int) -> Tensor:
        return quantiser.get_output_from_indices(random_codes(n, kind))

    if kind == BOOK:
        return torch.no_grad()(quantiser), vectors
    model = on_a_grid(SHAPES[kind]).to(device())  # for its networks
    model.quantiser = quantiser

    def loss(x: Tensor) -> Tensor:
        e, _, commitment = quantiser(model.encoder(x))
        return commitment - model.decoder(e).log_prob(x).mean()

    return descent(model, loss), lambda n: model.decoder(vectors(n)).sample()


def networks_alone(kind: str) -> Both:
    """What every way asks of encoder and decoder, and nothing else."""
    model = on_a_grid(SHAPES[kind]).to(device())
    e = torch.randn(BATCH, *model.prior().event_shape[:1], LATENT, device=device())
    update = descent(model, lambda x: -model.decoder(model.encoder(x)).log_prob(x).mean())
    return update, lambda n: model.decoder(e[:n]).base_dist.logits


def random_codes(n: int, kind: str) -> Tensor:
    """(n, M), each as likely as another."""
    codes = VECTORS if kind == BOOK else CODES
    return torch.randint(codes, (n, 16), device=device())


def way(build: Callable[[str], Both], kind: str, task: str, n: int) -> tuple:
    """As all ways do: a first call, and n examples in batches."""
    update, draw = build(kind)
    x = torch.randn(BATCH, *SHAPES[kind], device=device())
    x = x if kind == BOOK else (x > 1).to(x)

    def batches(count: int) -> None:
        with torch.set_grad_enabled(task == TRAINING):
            for _ in range(count):
                update(x) if task == TRAINING else draw(len(x))
        wait()

    return partial(batches, FEW), partial(batches, max(1, round(n / len(x))))


BUILDS = {
    IMAGES: {QUANTIZE: library, "dgm": ours, NETWORKS: networks_alone},
    BOOK: {QUANTIZE: library, "dgm": ours},
}
TASKS = {
    f"{task} {kind}" if task == TRAINING else f"{task} from {kind}": {
        name: partial(way, build, kind, task) for name, build in BUILDS[kind].items()
    }
    for kind, task in ((IMAGES, TRAINING), (IMAGES, DRAWING), (BOOK, TRAINING))
}
OTHERS = dict.fromkeys(TASKS, QUANTIZE)  # who else does it
