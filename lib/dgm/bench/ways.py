"""Tasks, and the ways to do each: as usually done, as done elsewhere, and as done here.

A way is a function of the number of images. It sets everything up and returns two functions without
arguments: `first` does what only the first call pays for (threads, kernels, compiling), `epoch`
does the task once over all images.
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from .. import data, heads, nets
from .._device import device
from ..reproduce import RECIPES
from ..train import fit, gradient_step
from . import denoisers, flows, quantisers
from .clock import wait
from .products import product_step
from .pythae_vae import pythae_trainer

SHAPE, HIDDEN, LATENT = (1, 28, 28), 400, 20
LAYERS = [(784, HIDDEN), (HIDDEN, 2 * LATENT), (LATENT, HIDDEN), (HIDDEN, 784)]  # (in, out)
FEW = 10  # batches of a first call

Way = Callable[[int], tuple[Callable[[], object], Callable[[], object]]]


def batch_size() -> int:
    """Images per batch: 128 as in PyTorch's example; 512 on a GPU, which 128 do not fill."""
    return 512 if device().type == "cuda" else 128


def mnist_is_here() -> bool:
    """Whether MNIST lies in the data folder; the bench downloads nothing."""
    files = "mnist.npz", "MNIST/raw/train-images-idx3-ubyte"
    return any((data.folder() / file).exists() for file in files)


def images(n: int, place) -> data.Split:
    """The first n training images of MNIST, else n of its size made of digits, on one device."""
    if mnist_is_here():
        split = data.load("mnist", place).train
        return split.select(torch.arange(n, device=split.y.device))
    digits = data.load("digits", place).train
    x = F.interpolate(digits.images, SHAPE[1:], mode="bilinear")  # (1437, 1, 28, 28)
    again = torch.arange(n, device=x.device) % len(digits)  # (n,)
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
        self.fc1 = nn.Linear(784, HIDDEN)
        self.fc21 = nn.Linear(HIDDEN, LATENT)
        self.fc22 = nn.Linear(HIDDEN, LATENT)
        self.fc3 = nn.Linear(LATENT, HIDDEN)
        self.fc4 = nn.Linear(HIDDEN, 784)

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


def pythae_training(n: int) -> tuple[Callable, Callable]:
    """Raises ImportError if pythae is not installed."""
    few, all_ = (
        pythae_trainer(images(m, "cpu"), HIDDEN, LATENT, batch_size())
        for m in (FEW * batch_size(), n)
    )
    return lambda: few.train_step(1), lambda: all_.train_step(1)


def products_alone(n: int) -> tuple[Callable, Callable]:
    """As many matrix products as an epoch needs, and nothing else."""
    step = product_step([(batch_size(), *sizes) for sizes in LAYERS])

    def steps(count: int) -> None:
        for _ in range(count):
            step()
        wait()

    return lambda: steps(FEW), lambda: steps(round(n / batch_size()))


# ---------------------------------------------------------------- an epoch, as trained here


class OurVAE(nn.Module):
    """The same network, made of the library's parts."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nets.mlp(SHAPE, HIDDEN), heads.DiagonalNormal(HIDDEN, LATENT))
        self.decoder = nn.Sequential(nets.mlp(LATENT, HIDDEN), heads.Bernoulli(HIDDEN, SHAPE))


def elbo(vae: OurVAE, x: Tensor, y: Tensor | None = None) -> Tensor:
    """The evidence lower bound log p(x | z) - KL(q(z | x) || N(0, I)), z drawn from q: (B,).

    The pixels are grey, as in PyTorch's example: the work is that of binary ones, the value is not
    a log-probability.
    """
    q = vae.encoder(x)
    variance = q.variance  # (B, latent)
    kl = 0.5 * (q.mean.square() + variance - 1 - variance.log()).sum(-1)  # (B,)
    return vae.decoder(q.rsample()).log_prob(x) - kl


def our_epoch(step: gradient_step, batches: Iterable, compile: bool = False) -> float:
    """Train with the library's step and loop; returns minus the mean of the bound.

    Raises:
        RuntimeError: it was to be compiled, and could not be.
    """
    history = fit(step, batches, epochs=1, compile=compile, progress=False)
    if history.interrupted:
        raise KeyboardInterrupt  # part of an epoch must not count as one
    if compile and not step.compiled:  # `fit` goes on without, a table must not
        raise RuntimeError("it could not be compiled")
    return -history["objective"][0]


def our_training(n: int, compile: bool = False) -> tuple[Callable, Callable]:
    epoch = partial(our_epoch, gradient_step(OurVAE().to(device()), elbo), compile=compile)
    return lambda: epoch(few_batches(our_batches(n))), lambda: epoch(our_batches(n))


def few_batches(batches: data.Batches) -> list[tuple[Tensor, Tensor]]:
    """The first few batches, and the last one, whose size may be another."""
    *_, last = batches
    return [*islice(batches, FEW), last]


def iwae_training(n: int, compile: bool = False) -> tuple[Callable, Callable]:
    """The scoreboard's recipe, batches of 20 as published, on the device of the moment."""
    split = images(n, device())
    step = RECIPES["iwae-50"].step(SHAPE, lambda t: 1e-3)
    batches = split.batches(20, binarize="dynamic")
    epoch = partial(our_epoch, step, compile=compile)
    return lambda: epoch(few_batches(batches)), lambda: epoch(batches)


# ---------------------------------------------------------------- the tasks

FEEDING = "feeding images"
EPOCH = "an epoch of a VAE (784-400-20-400-784, Bernoulli likelihood, Adam)"
IWAE = "an epoch of the scoreboard's IWAE (784-200-200-50, k = 50, batches of 20)"
WORKERS = {"DataLoader, 2 workers": 2}  # processes beside the one that is measured
OURS, PYTHAE, PRODUCTS = "dgm, compiled", "pythae", "matrix products alone"
OTHERS = (  # libraries
    PYTHAE,
    flows.ZUKO,
    flows.NORMFLOWS,
    denoisers.MATCHING,
    denoisers.DDPM,
    quantisers.QUANTIZE,
)
MAY_BE_MISSING = {OURS, *OTHERS}  # OURS needs a compiler

TASKS: dict[str, dict[str, Way]] = {
    FEEDING: {
        "DataLoader, 0 workers": partial(usual_feeding, workers=0),
        "DataLoader, 2 workers": partial(usual_feeding, workers=2),
        "dgm": our_feeding,
    },
    EPOCH: {
        "DataLoader": usual_training,
        PYTHAE: pythae_training,
        "dgm": our_training,
        OURS: partial(our_training, compile=True),
        PRODUCTS: products_alone,
    },
    IWAE: {
        "dgm": iwae_training,
        OURS: partial(iwae_training, compile=True),
    },
    **flows.TASKS,
    **denoisers.TASKS,
    **quantisers.TASKS,
}
