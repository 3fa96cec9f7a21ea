"""Data sets that live on the device: images as grey levels, and two-dimensional toys.

`load` returns a `Dataset` with a `train` and a `test` `Split`. A whole split is one tensor on the
device; shuffling, scaling to [0, 1] and binarising happen there, one batch at a time, so a GPU
never waits for a loader.

>>> data = load("digits", device="cpu")
>>> data
digits: 1437 training and 360 test examples of shape (1, 8, 8), 17 levels, 10 classes, on cpu
>>> x, y = next(iter(data.train.batches(32)))
>>> x.shape, x.dtype, y.shape
(torch.Size([32, 1, 8, 8]), torch.float32, torch.Size([32]))

The environment variable DGM_DATASET names the data set to use where none is named, DGM_DATA the
folder that data sets are kept in.
"""

import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from . import _device, _download, _npz, toys
from .checks import integer

# What `load` knows. For a toy, how many labels its Gaussians share, equally and in their order.
_NUMERALS = tuple("0123456789")
# fmt: off
_CLASSES = {
    "digits": _NUMERALS,
    "mnist": _NUMERALS,
    "fashion-mnist": ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                      "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer",
                "dog", "frog", "horse", "ship", "truck"),
}
# fmt: on
_TOYS = {
    "ring": (toys.ring, 8),
    "grid": (toys.grid, 25),
    "moons": (toys.moons, 2),
    "spirals": (toys.spirals, 2),
}


@dataclass(frozen=True, eq=False)
class Split:
    """The training or the test half of a data set, whole and on the device.

    Attributes:
        x: grey levels 0 ... levels - 1, uint8 (N, C, H, W); of a toy, points, float (N, 2).
        y: labels, int64 (N,); -1 means unlabelled.
        levels: number of grey levels; None for a toy.
        rows: where the examples stood in the split they were selected from; None if they were not.

    >>> test = load("digits", device="cpu").test
    >>> len(test), test.x.dtype, test.images.max()
    (360, torch.uint8, tensor(1.))
    """

    x: Tensor
    y: Tensor
    levels: int | None
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def select(self, index: Tensor) -> "Split":
        """Some of the examples: `index` is boolean, (N,), or holds their numbers.

        With "fixed" binarisation they are the binary images that they are in the whole split.

        >>> test = load("digits", device="cpu").test
        >>> len(test.select(test.y == 3))
        37
        """
        rows = torch.arange(len(self), device=self.y.device) if self.rows is None else self.rows
        return Split(self.x[index], self.y[index], self.levels, rows[index])

    def __repr__(self) -> str:
        return f"{len(self)} examples of shape {tuple(self.x.shape[1:])}, on {self.x.device}"

    @property
    def images(self) -> Tensor:
        """All examples as floats in [0, 1], x / (levels - 1), shape (N, C, H, W); of a toy, x."""
        return self._scaled(self.x)

    def batches(self, batch_size, shuffle=True, binarize=None, drop_last=False) -> "Batches":
        """All examples in batches `(x, y)`, to be gone through as often as you like.

        Shuffling and dynamic binarisation draw from torch's global generator of the device. A run
        that restores its state (`torch.set_rng_state`, on a GPU `torch.cuda.set_rng_state`) sees
        the same batches again.

        Args:
            batch_size: examples per batch; the last batch holds what is left.
            shuffle: whether each pass has a new order; otherwise it is that of `x`.
            binarize: None keeps the grey levels. "dynamic" replaces each pixel by a draw of
                Bernoulli(pixel), anew at each pass; "fixed" by one such draw, made with a fixed
                seed: the same for an image at every pass, in every run, on every device, and in
                every selection of images.
            drop_last: leave out a last batch that is smaller than the others.

        Returns:
            A `Batches`: x is float (B, C, H, W) in [0, 1] (toys: (B, 2)), y is int64 (B,).

        Raises:
            ValueError: batch_size is no positive integer, or drop_last would leave no batch;
                binarize is none of the above, or asked of a toy, which has no grey levels.

        >>> batches = load("digits", device="cpu").train.batches(500, binarize="dynamic")
        >>> [len(x) for x, y in batches]
        [500, 500, 437]
        >>> x, y = next(iter(batches))
        >>> x.unique()
        tensor([0., 1.])
        """
        batch_size = integer("batch_size", batch_size)
        if drop_last and batch_size > len(self):
            raise ValueError(
                f"batch_size must be at most {len(self)}, the size of the split, with "
                f"drop_last=True: got {batch_size}, which leaves no batch"
            )
        if binarize not in (None, "dynamic", "fixed"):
            raise ValueError(f"binarize must be None, 'dynamic' or 'fixed', got {binarize!r}")
        if binarize and self.levels is None:
            raise ValueError(f"binarize must be None for points of the plane, got {binarize!r}")
        split = self.binarized() if binarize == "fixed" else self
        return Batches(split, batch_size, shuffle, binarize == "dynamic", drop_last)

    def _scaled(self, x: Tensor) -> Tensor:
        # uint8 / int has torch's default type
        return x if self.levels is None else x / (self.levels - 1)

    def binarized(self) -> "Split":
        """This split with two levels: one draw of Bernoulli(image) for each, always the same."""
        # on the CPU and in float32: the same draw on every device, with every default type
        draw = {"generator": torch.Generator().manual_seed(0), "dtype": torch.float32}
        x = self.x.cpu()
        rows = torch.arange(len(x), device="cpu") if self.rows is None else self.rows.cpu()
        binary = torch.empty_like(x)
        end = int(rows.max()) + 1 if len(rows) else 0
        for start in range(0, end, 1024):  # in pieces: no float copy of everything
            noise = torch.rand(1024, *x.shape[1:], device="cpu", **draw)
            here = (rows >= start) & (rows < start + 1024)  # whose noise this is
            binary[here] = (noise[rows[here] - start] < self._scaled(x[here])).to(torch.uint8)
        return Split(binary.to(self.x.device), self.y, 2, self.rows)


@dataclass(frozen=True, eq=False)
class Batches:
    """What `Split.batches` returns: an iterable of known length, shuffled anew at each pass.

    >>> batches = load("digits", device="cpu").train.batches(500, drop_last=True)
    >>> len(batches), [len(x) for x, y in batches]
    (2, [500, 500])
    """

    split: Split
    batch_size: int
    shuffle: bool
    dynamic: bool
    drop_last: bool

    def __len__(self) -> int:
        batches = len(self.split) / self.batch_size
        return math.floor(batches) if self.drop_last else math.ceil(batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm if self.shuffle else torch.arange
        indices = order(len(self.split), device=self.split.x.device)  # (N,)
        for batch in indices.split(self.batch_size)[: len(self)]:  # (B,)
            x = self.split._scaled(self.split.x.index_select(0, batch))  # (B, C, H, W) in [0, 1]
            if self.dynamic:
                # 1 with probability x, as torch.bernoulli, which takes four times as long on a CPU
                x = torch.rand_like(x, dtype=torch.float32).lt_(x).to(x.dtype)
            yield x, self.split.y[batch]


def in_batches(x: Tensor, y: Tensor | None, size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """So many examples at a time, in their order, each with its label where there are labels.

    >>> [(len(x), y) for x, y in in_batches(torch.zeros(5, 2), None, 3)]
    [(3, None), (2, None)]
    """
    labels = repeat(None) if y is None else y.split(size)
    return zip(x.split(size), labels, strict=False)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set with all a model, a plot or an exercise needs to know about it.

    Attributes:
        name: what `load` was asked for; of an .npz, the file's name without the ending.
        shape: of one example: (C, H, W) with C = 1 or 3, or (2,) for a toy.
        levels: number of grey levels: 17 for digits, 256 for other images, None for a toy.
        classes: the name of each label, so `classes[y]` is readable.
        train, test: the two `Split`s, fixed once and for all.
        density: of a toy, the distribution its points were drawn from, whose `log_prob` is exact,
            in nats; None for images, whose density nobody knows.
    """

    name: str
    shape: tuple[int, ...]
    levels: int | None
    classes: tuple[str, ...]
    train: Split
    test: Split
    density: Distribution | None = None

    def __repr__(self) -> str:
        levels = "exact density" if self.levels is None else f"{self.levels} levels"
        return (
            f"{self.name}: {len(self.train)} training and {len(self.test)} test examples of shape "
            f"{self.shape}, {levels}, {len(self.classes)} classes, on {self.train.x.device}"
        )


def load(name=None, device=None) -> Dataset:
    """Load a data set, all of it, onto the device.

    | name                            | examples (train / test)         | shape                |
    |---------------------------------|---------------------------------|----------------------|
    | digits                          | 1437 / 360, inside scikit-learn | (1, 8, 8), 17 levels |
    | mnist, fashion-mnist            | 60000 / 10000, downloaded once  | (1, 28, 28)          |
    | cifar10                         | 50000 / 10000, downloaded once  | (3, 32, 32)          |
    | a path that ends in .npz        | your own                        | (C, H, W)            |
    | ring, grid, moons, spirals      | 4000 / 1000, drawn from a known density | (2,)         |

    An .npz holds the arrays x_train, y_train, x_test and y_test: x uint8, (N, H, W) or
    (N, H, W, C) with C = 1 or 3, binary if it holds only 0 and 1; y integer, (N,), -1 where there
    is no label. The labels that occur are numbered from 0 up, in their order, and `classes` has
    their names: of 1, ..., 26 the first is class 0, named "1".

    mnist, fashion-mnist and cifar10 are looked for in the folder DGM_DATA (default: `dgm` in the
    user's cache folder), first as `<name>.npz`, then as torchvision's files, and else downloaded
    into it by torchvision. A damaged file of torchvision's is removed and a failed download tried
    once more, both with a warning; a download reaches the folder whole or not at all. No .npz is
    ever removed.

    Splits never change: digits are cut 80 to 20, stratified by class; the others are the official
    ones, and the toys are drawn with a fixed seed.

    Args:
        name: one of the above; None: the environment variable DGM_DATASET, else "digits".
        device: a `torch.device` or its name; None: that of `dgm.device()`.

    Returns:
        Dataset

    Raises:
        ValueError: the name is unknown; the device is; the .npz is not as described above.
        RuntimeError: the data set cannot be downloaded; the message says why, what was tried and
            what to do.

    >>> load("moons", device="cpu").classes
    ('0', '1')
    """
    name = (os.environ.get("DGM_DATASET") or "digits") if name is None else str(name)
    device = _device.device(device)
    if name in _TOYS:
        return _toy_dataset(name, device)
    if name.endswith(".npz"):
        path = Path(os.path.expanduser(name)).absolute()  # in messages: where it was looked for
        return _image_dataset(path.stem, _npz.read(path), device, source=path)
    if name not in _CLASSES:
        raise ValueError(
            f"name (or the environment variable DGM_DATASET) must be one of "
            f"{', '.join([*_CLASSES, *_TOYS])}, or a path that ends in .npz; got {name!r}"
        )
    classes = _CLASSES[name]
    if name == "digits":
        return _image_dataset(name, _digits(), device, source=name, levels=17, classes=classes)
    path = folder() / f"{name}.npz"
    if path.exists():
        return _image_dataset(name, _npz.read(path), device, source=path, classes=classes)
    arrays = _download.load(name, path.parent)
    source = f"{_download.CLASSES[name]} in {path.parent}"
    return _image_dataset(name, arrays, device, source, classes=classes)


def folder() -> Path:
    """The data folder: DGM_DATA, else `dgm` in the user's cache folder."""
    if os.environ.get("DGM_DATA"):
        return Path(os.path.expanduser(os.environ["DGM_DATA"]))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dgm"
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))  # by its standard, ignored if relative
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "dgm"


def _digits() -> dict[str, np.ndarray]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)  # (1797, 64) floats 0 ... 16, (1797,)
    images = images.reshape(-1, 8, 8).astype(np.uint8)
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=0
    )
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _image_dataset(name, arrays, device, source, levels=256, classes=None) -> Dataset:
    _npz.check(arrays, source, classes)
    if classes is None:
        arrays, classes = _numbered(arrays)
        if max(arrays["x_train"].max(), arrays["x_test"].max()) <= 1:
            levels = 2  # not nearly black
    train, test = (
        Split(_nchw(arrays[f"x_{half}"]).to(device), _int64(arrays[f"y_{half}"]).to(device), levels)
        for half in ("train", "test")
    )
    return Dataset(name, tuple(train.x.shape[1:]), levels, classes, train, test)


def _numbered(arrays: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The arrays with labels 0, 1, ... in place of those that occur, and what these were."""
    halves = [arrays[half].astype(np.int64) for half in ("y_train", "y_test")]
    names = np.unique(np.concatenate(halves))
    names = names[names >= 0]

    def numbers(y: np.ndarray) -> np.ndarray:
        return np.where(y < 0, -1, np.searchsorted(names, y))

    y_train, y_test = map(numbers, halves)
    return arrays | {"y_train": y_train, "y_test": y_test}, tuple(str(label) for label in names)


def _nchw(x: np.ndarray) -> Tensor:
    images = torch.from_numpy(np.ascontiguousarray(x))  # (N, H, W) or (N, H, W, C), uint8
    if images.ndim == 3:
        return images[:, None]  # (N, 1, H, W)
    return images.permute(0, 3, 1, 2).contiguous()  # (N, C, H, W)


def _int64(y: np.ndarray) -> Tensor:
    return torch.from_numpy(y.astype(np.int64))  # (N,)


def _toy_dataset(name: str, device: torch.device) -> Dataset:
    make, labels = _TOYS[name]
    gaussians = make(device="cpu").component_distribution  # K of them
    means, sigma = gaussians.mean, gaussians.stddev  # (K, 2), (K, 2)
    # on the CPU and in float32: the same points on every device, with every default type
    draw = {"generator": torch.Generator().manual_seed(0), "device": "cpu"}
    k = torch.randint(len(means), (5000,), **draw)  # (N,) which Gaussian
    x = means[k] + sigma[k] * torch.randn(5000, 2, dtype=torch.float32, **draw)  # (N, 2)
    x, y = x.to(device, means.dtype), (k * labels // len(means)).to(device)
    train, test = Split(x[:4000], y[:4000], None), Split(x[4000:], y[4000:], None)
    classes = tuple(str(label) for label in range(labels))
    return Dataset(name, (2,), None, classes, train, test, make(device=device))
