"""What the library's way with data and steps is worth: `make bench`, or `python -m dgm.bench`.

Two tasks, feeding images and training a variational autoencoder for one epoch, are timed as usually
done (one image at a time through PIL, `ToTensor` and a `DataLoader`) and as done here; then the
start-up of `import dgm`. Seconds tell little about another machine, ratios within one run more. So
the ways take turns, each in a fresh process, which gives each a peak of memory of its own.

A target that is missed is printed as missed: this is a measurement, not a test. It needs a machine
that does nothing else: OpenMP's threads wait for each other by spinning, and where programs share
the cores each can become tens of times slower. OMP_WAIT_POLICY=passive avoids that, at the cost of
some speed, most of it ours.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm import tqdm

from . import data, heads, nets
from ._device import device
from .train import fit, gradient_step

SHAPE, HIDDEN, LATENT, BATCH = (1, 28, 28), 400, 20, 128
LAZY = ("torchvision", "matplotlib", "ipywidgets", "sklearn")  # not imported until used


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


def measure(task: str, way: str, place: str, n: int) -> tuple[float, float]:
    """Images per second of one way on the device `place`, and this process's peak memory."""
    os.environ["DGM_DEVICE"] = place
    make_batches, run = TASKS[task][1][way]
    batches = make_batches(n)
    seconds = seconds_per_pass(run, batches)
    return n / seconds, peak_memory(getattr(batches, "num_workers", 0))


def seconds_per_pass(run: Callable[[Iterable], object], batches: Iterable) -> float:
    """Mean time of `run(batches)`, which is called until a second has gone by."""
    run(list(islice(batches, 10)))  # what only the first call pays for: threads, kernels
    passes, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < 1:
        run(batches)
        passes += 1
    return elapsed / passes


def peak_memory(workers: int = 0) -> float:
    """The most that this process and its workers have held, in MiB (resident set).

    Pages that processes share count in each. Linux lets a process start from its parent's peak,
    so that a parent must hold little: `main` leaves the data to the measuring processes.
    """
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, else KiB
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the largest
    return (own + workers * worker) / unit


def in_fresh_process(function: Callable, *arguments):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def startup() -> tuple[float, list[str]]:
    """Seconds that `import dgm` takes once torch is there, and which of `LAZY` it brings along."""
    code = (
        "import sys, time, torch; start = time.perf_counter(); import dgm; "
        f"print(time.perf_counter() - start, *(name for name in {LAZY} if name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, *imported = run.stdout.split()
    return float(seconds), imported


def spread(values: list[float], form: str) -> str:
    """The median and the range.

    >>> spread([3, 1, 2], ".1f")
    '2.0 (1.0 to 3.0)'
    """
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{median:{form}} ({low:{form}} to {high:{form}})"


def verdict(met: bool, target: str) -> str:
    return f"{target}: {'met' if met else 'missed'}"


def row(*cells: str) -> str:
    return "{:<25}{:<29}{:<25}{:<19}{}".format(*cells).rstrip()


def task_table(task: str, results: dict[str, list[tuple[float, float]]]) -> list[str]:
    """The task and a line per way. `results`: of each way its repeats, as `measure` returns them.

    The i-th repeat of ours is divided by the i-th of another way, next to which it was run.
    """
    target, _ = TASKS[task]
    ours = [rate for rate, _ in list(results.values())[-1]]
    lines = [task]
    for way, repeats in results.items():
        rates, peaks = zip(*repeats, strict=True)
        times = [mine / rate for mine, rate in zip(ours, rates, strict=True)]
        met = verdict(statistics.median(times) >= target, f"{target} times")
        ratio = ("", "") if way == "dgm" else (spread(times, ".3g"), met)
        rate = spread([rate / 1000 for rate in rates], ",.1f")
        lines.append(row(f"  {way}", rate, *ratio, f"{max(peaks):,.0f} MiB"))
    return lines


def startup_table(repeats: list[tuple[float, list[str]]]) -> list[str]:
    seconds = [s for s, _ in repeats]
    imported = sorted({name for _, names in repeats for name in names})
    fast = verdict(statistics.median(seconds) < 0.3, "under 0.3 s")
    lean = verdict(not imported, f"without {', '.join(LAZY)}")
    return [
        "start-up of import dgm, beyond torch's own",
        f"  {spread(seconds, '.3f')} s; {fast}",
        f"  {lean} {' '.join(imported)}".rstrip(),
    ]


def heading(n: int, repeats: int) -> list[str]:
    source = "of MNIST" if mnist_is_here() else "of MNIST's size, digits enlarged: no MNIST here"
    load = os.getloadavg()[0]  # programs that wanted to run, mean of the last minute
    state = "idle" if load < 0.5 else "NOT IDLE: the figures may tell little"
    return [
        f"{n:,} training images {source}; batches of {BATCH}; float32",
        f"torch {torch.__version__}, {torch.get_num_threads()} threads",
        f"load average before the run {load:.1f}: {state}",
        f"medians (and ranges) of {repeats} repeats, taken in turns, each in a fresh process",
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m dgm.bench", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a try-out: 6,000 images, once")
    n, repeats = (6_000, 1) if parser.parse_args(arguments).quick else (60_000, 5)
    lines = heading(n, repeats)
    places = dict.fromkeys(["cpu", device().type])  # and the accelerator, if there is one
    jobs = [(task, way, p) for p in places for task, (_, ways) in TASKS.items() for way in ways]
    results = {job: [] for job in jobs}
    for job in tqdm(jobs * repeats, unit="measurement"):
        results[job].append(in_fresh_process(measure, *job, n))
    for p in places:
        lines += [
            "",
            row(f"on {p}", "1000 images/s", "dgm, times as fast", "target", "peak memory"),
        ]
        for task, (_, ways) in TASKS.items():
            lines += task_table(task, {way: results[task, way, p] for way in ways})
    lines += [f"importing torch and dgm alone: {peak_memory():,.0f} MiB", ""]
    print("\n".join(lines + startup_table([startup() for _ in range(repeats)])))


if __name__ == "__main__":
    main()
