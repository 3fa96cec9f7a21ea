"""Tasks, and the ways to do each: as usually done, as done elsewhere, and as done here.

A way is a function of the number of images. It sets everything up and returns two functions without
arguments: `first` does what only the first call pays for (threads, kernels, compiling), `epoch`
does the task once over all images.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from .. import data
from .._device import device
from ..models import VAE
from ..objectives import elbo
from ..reproduce import RECIPES
from ..train import fit, gradient_step
from . import denoisers, flows, quantisers
from .clock import wait
from .products import LATENT, Work, product_step
from .pythae_vae import pythae_trainer

FEW = 10  # batches of a first call

Way = Callable[[int], tuple[Callable[[], object], Callable[[], object]]]


def batch_size() -> int:
    """Images per batch: 128 as in PyTorch's example; 512 on a GPU, which 128 do not fill."""
    return 512 if device().type == "cuda" else 128


def work_of(task: str) -> Work:
    """The network of a task that trains one, and its batch."""
    return replace(NETWORKS[task], batch=batch_size())


def mnist_is_here() -> bool:
    """Whether MNIST lies in the data folder; the bench downloads nothing."""
    files = "mnist.npz", "MNIST/raw/train-images-idx3-ubyte"
    return any((data.folder() / file).exists() for file in files)


def images(n: int, place, side: int = 28) -> data.Split:
    """The first n training images of MNIST, on one device; without it n of its size made of digits.

    Of 8 pixels a side they are the digits themselves, again and again.
    """
    if mnist_is_here() and side == 28:
        split = data.load("mnist", place).train
        return split.select(torch.arange(n, device=split.y.device))
    digits = data.load("digits", place).train
    again = torch.arange(n, device=digits.y.device) % len(digits)  # (n,)
    if side == 8:
        return digits.select(again)
    x = F.interpolate(digits.images, (side, side), mode="bilinear")  # (1437, 1, side, side)
    return data.Split((255 * x).to(torch.uint8)[again], digits.y[again], levels=256)


def usual_batches(n: int, workers: int = 0) -> DataLoader:
    """A shuffled `DataLoader` over torchvision's MNIST, whose `__getitem__` makes a PIL image."""
    from torchvision.datasets import MNIST
    from torchvision.transforms import ToTensor

    split = images(n, "cpu")
    dataset = MNIST.__new__(MNIST)  # without its constructor, which insists on files of its own
    dataset.data, dataset.targets = split.x[:, 0], split.y  # (n, 28, 28), (n,)
    dataset.transform, dataset.target_transform = ToTensor(), None
    return DataLoader(
        dataset,
        batch_size(),
        shuffle=True,
        num_workers=workers,
        pin_memory=device().type == "cuda",
        multiprocessing_context="fork" if workers else None,  # the quickest way to start them
    )


def our_batches(n: int) -> data.Batches:
    """The same images as one tensor on the device, shuffled and scaled there."""
    return images(n, device()).batches(batch_size())


# ---------------------------------------------------------------- feeding images


def usual_feeding(n: int, workers: int) -> tuple[Callable, Callable]:
    batches = usual_batches(n, workers)
    return lambda: feed(islice(batches, FEW)), lambda: feed(batches)


def our_feeding(n: int) -> tuple[Callable, Callable]:
    batches = our_batches(n)
    return lambda: feed(islice(batches, FEW)), lambda: feed(batches)


def feed(batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Bring every batch to the device, and wait until the last one is there."""
    place = device()
    for x, y in batches:
        x.to(place), y.to(place)
    wait()


# ---------------------------------------------------------------- an epoch, as usually trained


class UsualVAE(nn.Module):
    """The model of PyTorch's own example (pytorch/examples, vae/main.py).

    Shapes: (B, 1, 28, 28) -> pixels' probabilities (B, 784), mu (B, 20), log sigma^2 (B, 20).
    """

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 400)
        self.fc21 = nn.Linear(400, 20)
        self.fc22 = nn.Linear(400, 20)
        self.fc3 = nn.Linear(20, 400)
        self.fc4 = nn.Linear(400, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.fc1(x.view(-1, 784)))  # (B, 400)
        mu, log_var = self.fc21(h), self.fc22(h)
        sigma = torch.exp(0.5 * log_var)
        z = mu + torch.randn_like(sigma) * sigma
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, log_var


def usual_loss(p: Tensor, x: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """Minus the evidence lower bound, summed over the batch: a scalar."""
    cross_entropy = F.binary_cross_entropy(p, x.view(-1, 784), reduction="sum")
    kl = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
    return cross_entropy + kl


def usual_epoch(
    model: UsualVAE, optimizer: torch.optim.Optimizer, batches: Iterable[tuple[Tensor, Tensor]]
) -> float:
    """Train as the example does, reading the loss at every step; returns the mean loss."""
    place, total, images_seen = device(), 0.0, 0
    for x, _ in batches:
        x = x.to(place)
        optimizer.zero_grad()
        p, mu, log_var = model(x)
        loss = usual_loss(p, x, mu, log_var)
        loss.backward()
        total += loss.item()
        images_seen += len(x)
        optimizer.step()
    return total / images_seen


def usual_training(n: int) -> tuple[Callable, Callable]:
    batches = usual_batches(n, workers=1 if device().type == "cuda" else 0)  # as the example
    model = UsualVAE().to(device())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    epoch = partial(usual_epoch, model, optimizer)
    return lambda: epoch(islice(batches, FEW)), lambda: epoch(batches)


# ---------------------------------------------------------------- an epoch, elsewhere and at best


def pythae_training(n: int, task: str) -> tuple[Callable, Callable]:
    """Raises ImportError if pythae is not installed."""
    work = work_of(task)
    few, all_ = (
        pythae_trainer(images(m, "cpu", work.side), work.width, LATENT, work.batch)
        for m in (FEW * work.batch, n)
    )
    return lambda: few.train_step(1), lambda: all_.train_step(1)


def products_alone(n: int, task: str) -> tuple[Callable, Callable]:
    """As many matrix products as an epoch needs, and nothing else."""
    work = work_of(task)
    step = product_step(work.layers())

    def steps(count: int) -> None:
        for _ in range(count):
            step()
        wait()

    return lambda: steps(FEW), lambda: steps(round(n / work.batch))


class BareVAE(nn.Module):
    """The network as layers, for a loop of plain torch.

    Shapes: pixels (B, side^2) -> logits of pixels (B, side^2), mu (B, 20), log sigma^2 (B, 20).
    """

    def __init__(self, work: Work):
        super().__init__()
        pixels, width = work.side**2, work.width
        self.encoder = nn.Sequential(
            nn.Linear(pixels, width), nn.ReLU(), nn.Linear(width, 2 * LATENT)
        )
        self.decoder = nn.Sequential(nn.Linear(LATENT, width), nn.ReLU(), nn.Linear(width, pixels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, log_var = self.encoder(x).chunk(2, 1)
        z = mu + (0.5 * log_var).exp() * torch.randn_like(mu)
        return self.decoder(z), mu, log_var


def bare_epoch(
    model: BareVAE, optimizer: torch.optim.Optimizer, split: data.Split, batch: int
) -> Tensor:
    """The shortest loop that does the same: nothing is checked, named, or shown.

    Returns the mean loss, still on the device.
    """
    losses = []
    for rows in torch.randperm(len(split), device=split.y.device).split(batch):
        grey = split.x[rows].flatten(1) / (split.levels - 1)  # (B, side^2)
        x = torch.rand_like(grey).lt_(grey)
        logits, mu, log_var = model(x)
        cross_entropy = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = -0.5 * (1 + log_var - mu.square() - log_var.exp()).sum()
        loss = (cross_entropy + kl) / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).mean()


def bare_training(n: int, task: str) -> tuple[Callable, Callable]:
    work = work_of(task)
    model, split = BareVAE(work).to(device()), images(n, device(), work.side)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    few = split.select(torch.arange(FEW * work.batch, device=split.y.device))
    epoch = partial(bare_epoch, model, optimizer, batch=work.batch)
    return lambda: epoch(few), lambda: epoch(split)


# ---------------------------------------------------------------- an epoch, as trained here


def our_epoch(step: gradient_step, batches: Iterable, compiled: bool = False) -> float:
    """Train with the library's step and loop; returns minus the mean of the bound.

    Raises:
        RuntimeError: the step was to be compiled, and could not be.
    """
    history = fit(step, batches, epochs=1, progress=False)
    if history.interrupted:
        raise KeyboardInterrupt  # part of an epoch must not count as one
    if compiled and not step.compiled:  # `fit` goes on without, a table must not
        raise RuntimeError("it could not be compiled")
    return -history["objective"][0]


def our_training(n: int, task: str, compiled: bool = False, **options) -> tuple[Callable, Callable]:
    """With binary images, drawn anew for each batch, and options of `gradient_step`."""
    work = work_of(task)
    model = VAE.mlp(work.shape, hidden=work.width, latent=LATENT).to(device())
    step = gradient_step(model, elbo, **options)
    batches = images(n, device(), work.side).batches(work.batch, binarize="dynamic")
    return epochs(step, batches, compiled)


def epochs(step: gradient_step, batches: data.Batches, compiled: bool) -> tuple[Callable, Callable]:
    """A few batches, and all of them."""
    if compiled:  # on a CPU only whoever names a compiler gets one
        step.compile(**({"backend": "inductor"} if device().type == "cpu" else {}))
    epoch = partial(our_epoch, step, compiled=compiled)
    return lambda: epoch(few_batches(batches)), lambda: epoch(batches)


def few_batches(batches: data.Batches) -> list[tuple[Tensor, Tensor]]:
    """The first few batches, and the last one, whose size may be another."""
    *_, last = batches
    return [*islice(batches, FEW), last]


def iwae_training(n: int, compiled: bool = False) -> tuple[Callable, Callable]:
    """The scoreboard's recipe, batches of 20 as published, on the device of the moment."""
    step = RECIPES["iwae-50"].step((1, 28, 28), lambda t: 1e-3)
    return epochs(step, images(n, device()).batches(20, binarize="dynamic"), compiled)


# ---------------------------------------------------------------- the tasks

FEEDING = "feeding images"
EPOCH = "an epoch of a VAE (784-400-20-400-784, Bernoulli likelihood, Adam)"
NARROW = "an epoch of a narrow VAE (784-100-20-100-784)"
DIGITS = "an epoch of a VAE of 8 x 8 digits (64-100-20-100-64)"
IWAE = "an epoch of the scoreboard's IWAE (784-200-200-50, k = 50, batches of 20)"
NETWORKS = {EPOCH: Work(), NARROW: Work(width=100), DIGITS: Work(side=8, width=100)}
WORKERS = {"DataLoader, 2 workers": 2}  # processes beside the one that is measured
OURS, COMPILED, BF16 = "dgm", "dgm, compiled", "dgm, bf16"
PYTHAE, BARE, PRODUCTS = "pythae", "plain torch", "matrix products alone"
OTHERS = (  # libraries
    PYTHAE,
    flows.ZUKO,
    flows.NORMFLOWS,
    denoisers.MATCHING,
    denoisers.DDPM,
    quantisers.QUANTIZE,
)
MAY_BE_MISSING = {COMPILED, *OTHERS}  # COMPILED needs a compiler


def training_ways(task: str, **more: Way) -> dict[str, Way]:
    """As done elsewhere, here, and at best."""
    return {
        PYTHAE: partial(pythae_training, task=task),
        BARE: partial(bare_training, task=task),
        OURS: partial(our_training, task=task),
        BF16: partial(our_training, task=task, precision="bf16"),
        **more,
        PRODUCTS: partial(products_alone, task=task),
    }


TASKS: dict[str, dict[str, Way]] = {
    FEEDING: {
        "DataLoader, 0 workers": partial(usual_feeding, workers=0),
        "DataLoader, 2 workers": partial(usual_feeding, workers=2),
        OURS: our_feeding,
    },
    EPOCH: {
        "DataLoader": usual_training,
        **training_ways(EPOCH, **{COMPILED: partial(our_training, task=EPOCH, compiled=True)}),
    },
    NARROW: training_ways(NARROW),
    DIGITS: training_ways(DIGITS),
    IWAE: {OURS: iwae_training, COMPILED: partial(iwae_training, compiled=True)},
    **flows.TASKS,
    **denoisers.TASKS,
    **quantisers.TASKS,
}
