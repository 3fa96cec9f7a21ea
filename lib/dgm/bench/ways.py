"""Two tasks, and the ways to do them: as usually done, and as done here."""

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from .. import data, heads, nets
from .._device import device
from ..train import fit, gradient_step

SHAPE, HIDDEN, LATENT, BATCH = (1, 28, 28), 400, 20, 128


def mnist_is_here() -> bool:
    """Whether MNIST lies in the data folder; the bench downloads nothing."""
    files = "mnist.npz", "MNIST/raw/train-images-idx3-ubyte"
    return any((data._folder() / file).exists() for file in files)


def images(n: int, place) -> data.Split:
    """The first n training images of MNIST, else n of its size made of digits, on one device."""
    if mnist_is_here():
        split = data.load("mnist", place).train
        return data.Split(split.x[:n], split.y[:n], split.levels)
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
        BATCH,
        shuffle=True,
        num_workers=workers,
        pin_memory=device().type == "cuda",
        multiprocessing_context="fork" if workers else None,  # the quickest way to start them
    )


def our_batches(n: int) -> data.Batches:
    """The same images as one tensor on the device, shuffled and scaled there."""
    return images(n, device()).batches(BATCH)


def feed(batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Bring every batch to the device, and wait until the last one is there."""
    place = device()
    for x, y in batches:
        x.to(place), y.to(place)
    if place.type != "cpu":
        torch.get_device_module(place).synchronize()


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


def usual_epoch(model: UsualVAE, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Train as the example does, reading the loss at every step; returns the mean loss."""
    place = device()
    model.to(place)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    total, images_seen = 0.0, 0
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


def our_epoch(model: OurVAE, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Train with the library's step and loop; returns minus the mean of the bound."""
    history = fit(gradient_step(model, elbo), batches, epochs=1, progress=False)
    return -history["objective"][0]


# A task's target (how many times as fast ours shall be) and the ways to do it, ours last: where the
# batches come from, and what is done with them.
TASKS = {
    "feeding images": (
        50,
        {
            "DataLoader, 0 workers": (usual_batches, feed),
            "DataLoader, 2 workers": (partial(usual_batches, workers=2), feed),
            "dgm": (our_batches, feed),
        },
    ),
    "one epoch of a VAE (784-400-20-400-784, Bernoulli likelihood, Adam)": (
        2.5,
        {
            "DataLoader, 0 workers": (usual_batches, lambda b: usual_epoch(UsualVAE(), b)),
            "dgm": (our_batches, lambda b: our_epoch(OurVAE(), b)),
        },
    ),
}
