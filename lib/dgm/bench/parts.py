"""Where the time of a training step goes: products, Adam, random numbers, the rest, Python."""

import os

from torch.profiler import ProfilerActivity, profile

from .._device import device
from ..models import VAE
from ..objectives import elbo
from ..train import gradient_step
from .clock import seconds
from .products import LATENT
from .ways import images, work_of

STEPS = 50
KINDS = {  # the operations that do each part
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "Adam": ("aten::_fused_adam_",),
    "random numbers": ("aten::random_", "aten::normal_", "aten::uniform_", "aten::bernoulli_"),
}
OTHER, PYTHON = "other operations", "Python and autograd"


def parts(task: str, place: str) -> dict[str, float]:
    """The shares of a step of `gradient_step` on a CPU, by torch's profiler.

    Under its eyes each operation takes a little longer, so that the shares of many small ones come
    out somewhat too large.
    """
    os.environ["DGM_DEVICE"] = place
    work = work_of(task)
    model = VAE.mlp(work.shape, hidden=work.width, latent=LATENT).to(device())
    step = gradient_step(model, elbo)
    batches = images(STEPS * work.batch, device(), work.side).batches(
        work.batch, binarize="dynamic"
    )
    for batch in batches:  # what only the first calls pay for
        step(batch)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        elapsed = seconds(lambda: [step(batch) for batch in batches])
    taken = {event.key: event.self_cpu_time_total for event in seen.key_averages()}  # in 1e-6 s
    total = 1e6 * elapsed
    shares = {kind: sum(taken.get(k, 0) for k in keys) / total for kind, keys in KINDS.items()}
    operations = sum(t for key, t in taken.items() if key.startswith("aten::")) / total
    shares[OTHER] = operations - sum(shares.values())
    return shares | {PYTHON: 1 - operations}
