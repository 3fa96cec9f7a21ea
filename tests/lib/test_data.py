"""`dgm.data`: what is loaded, how it is batched, and what happens when something is wrong."""

import gzip
import hashlib
import math
import os
import pickle
import re
import socket
import sys
import tarfile
import time
import warnings
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

import dgm
from dgm import data, toys

DEVICE = dgm.device()  # the tests run on whatever device the library would use
TOYS = ("ring", "grid", "moons", "spirals")


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """Every test starts with an empty data folder of its own and the same random numbers."""
    torch.manual_seed(0)
    monkeypatch.delenv("DGM_DATASET", raising=False)
    monkeypatch.setenv("DGM_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def everything(batches):
    """All batches of one pass as one pair of tensors."""
    x, y = zip(*batches, strict=True)
    return torch.cat(x), torch.cat(y)


# ---------------------------------------------------------------------------------------------
# The device
# ---------------------------------------------------------------------------------------------


def test_device_is_taken_from_the_environment(monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "meta")
    assert dgm.device() == torch.device("meta")
    assert data.load("digits").train.x.device == torch.device("meta")
    assert data.load("digits", device="cpu").train.x.device == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu0", "cuda:99"])
def test_a_bad_device_is_named(monkeypatch, name):
    monkeypatch.setenv("DGM_DEVICE", name)
    with pytest.raises(ValueError, match=f"DGM_DEVICE must name a device .* got '{name}'"):
        dgm.device()
    monkeypatch.delenv("DGM_DEVICE")
    with pytest.raises(ValueError, match=f"^device must name a device .* got '{name}'"):
        data.load("digits", device=name)


# ---------------------------------------------------------------------------------------------
# What is loaded
# ---------------------------------------------------------------------------------------------


def test_digits_are_the_default_and_whole(digits):
    from sklearn.datasets import load_digits

    assert data.load().name == digits.name == "digits"
    assert digits.shape == (1, 8, 8) and digits.levels == 17 and digits.density is None
    assert digits.classes == tuple("0123456789")
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    for split in (digits.train, digits.test):
        assert split.x.dtype == torch.uint8 and split.x.shape[1:] == digits.shape
        assert split.y.dtype == torch.int64 and split.y.shape == (len(split),)
        assert split.x.device.type == split.y.device.type == DEVICE.type
        assert split.levels == 17

    # The two splits together are scikit-learn's rows, each with its own label.
    x = torch.cat([digits.train.x, digits.test.x]).flatten(1).cpu().numpy()
    y = torch.cat([digits.train.y, digits.test.y]).cpu().numpy()
    rows = np.concatenate([x, y[:, None]], axis=1)
    original = np.column_stack(load_digits(return_X_y=True))
    assert np.array_equal(np.unique(rows, axis=0), np.unique(original, axis=0))


def test_digits_split_is_stratified_and_fixed(digits):
    again = data.load("digits")
    assert torch.equal(again.train.x, digits.train.x) and torch.equal(again.test.y, digits.test.y)
    parts = [torch.bincount(s.y.cpu(), minlength=10) for s in (digits.train, digits.test)]
    share = parts[1] / (parts[0] + parts[1])  # of each class in the test split
    assert (share - 0.2).abs().max() < 0.005  # one image of a class of 180 is 0.0056


def test_images_are_levels_over_the_highest_level(digits):
    images = digits.train.images
    assert images.dtype == torch.float32 and images.min() == 0 and images.max() == 1
    assert torch.equal((images * 16).round().to(torch.uint8), digits.train.x)
    assert torch.allclose(images * 16, digits.train.x.float(), atol=1e-5)


def test_repr_says_what_it_is(digits):
    assert repr(digits).startswith(
        "digits: 1437 training and 360 test examples of shape (1, 8, 8), 17 levels, 10 classes, on "
    )
    assert "exact density, 8 classes" in repr(data.load("ring"))
    assert repr(digits.test).startswith("360 examples of shape (1, 8, 8)")


def test_environment_names_the_default(monkeypatch):
    monkeypatch.setenv("DGM_DATASET", "moons")
    assert data.load().name == "moons"
    assert data.load("ring").name == "ring"


@pytest.mark.parametrize("name", ["MNIST", "", "shapes", 3])
def test_unknown_name_lists_the_known_ones(name):
    known = "digits, mnist, fashion-mnist, cifar10, ring, grid, moons, spirals"
    with pytest.raises(ValueError, match=f"name .* one of {known}, or .*npz; got '{name}'"):
        data.load(name)


# ---------------------------------------------------------------------------------------------
# Batches
# ---------------------------------------------------------------------------------------------


def test_unshuffled_batches_are_the_split_in_order(digits):
    batches = digits.train.batches(100, shuffle=False)
    sizes = [len(x) for x, _ in batches]
    assert sizes == [100] * 14 + [37] and len(batches) == 15
    x, y = everything(batches)
    assert torch.equal(x, digits.train.images) and torch.equal(y, digits.train.y)
    assert x.device == y.device == digits.train.x.device


def test_shuffling_is_a_new_permutation_at_each_pass(digits):
    batches = digits.train.batches(100)
    (x1, y1), (x2, y2) = everything(batches), everything(batches)
    assert not torch.equal(x1, x2) and not torch.equal(x1, digits.train.images)
    # Sorting rows of pixels and label undoes any permutation, if each image kept its label.
    rows = [
        torch.cat([x.flatten(1), y[:, None]], dim=1).unique(dim=0)
        for x, y in [(x1, y1), (x2, y2), (digits.train.images, digits.train.y)]
    ]
    assert torch.equal(rows[0], rows[2]) and torch.equal(rows[1], rows[2])
    assert len(x1) == len(x2) == 1437


def test_drop_last(digits):
    batches = digits.test.batches(100, drop_last=True)
    assert [len(x) for x, _ in batches] == [100] * 3 and len(batches) == 3
    whole = digits.test.batches(360, drop_last=True)
    assert [len(x) for x, _ in whole] == [360] and len(whole) == 1


def test_batch_larger_than_the_split(digits):
    assert [len(x) for x, _ in digits.test.batches(1000)] == [360]
    with pytest.raises(ValueError, match="batch_size must be at most 360.*drop_last=True.*got 361"):
        digits.test.batches(361, drop_last=True)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "8", None, True])
def test_bad_batch_size(digits, batch_size):
    with pytest.raises(ValueError, match=f"batch_size: got .*{batch_size}.*, expected an int"):
        digits.train.batches(batch_size)


@pytest.mark.parametrize("binarize", ["static", True, 0.5])
def test_bad_binarize(digits, binarize):
    with pytest.raises(ValueError, match=f"binarize must be None, 'dynamic' .* got .*{binarize}"):
        digits.train.batches(10, binarize=binarize)


@pytest.mark.parametrize("binarize", ["dynamic", "fixed"])
def test_binarised_pixels_have_the_grey_levels_as_means(digits, binarize):
    p = digits.train.images
    x, _ = everything(digits.train.batches(500, shuffle=False, binarize=binarize))
    assert x.dtype == torch.float32 and x.shape == p.shape
    assert torch.equal(x.unique().cpu(), torch.tensor([0.0, 1.0]))
    # Of the n pixels with grey level p, the share that is 1 has standard error sqrt(p(1-p)/n).
    for level in range(17):
        here = digits.train.x == level
        p, n = level / 16, here.sum().item()
        error = math.sqrt(p * (1 - p) / n)
        assert abs(x[here].mean().item() - p) <= 4.5 * error + 1e-6, level


def test_dynamic_binarisation_is_drawn_anew(digits):
    batches = digits.test.batches(100, shuffle=False, binarize="dynamic")
    first, second = everything(batches)[0], everything(batches)[0]
    grey = (digits.test.x > 0) & (digits.test.x < 16)
    assert torch.equal(first[~grey], second[~grey])
    # Two draws of Bernoulli(p) differ with probability 2 p (1 - p).
    p = digits.test.images[grey].double()
    differ = 2 * p * (1 - p)
    error = (differ * (1 - differ)).sum().sqrt()
    assert abs((first != second)[grey].sum() - differ.sum()) < 4.5 * error


def test_fixed_binarisation_is_drawn_once(digits):
    batches = digits.test.batches(100, shuffle=False, binarize="fixed")
    first = everything(batches)[0]
    torch.manual_seed(7)
    again = digits.test.batches(33, shuffle=False, binarize="fixed")
    assert torch.equal(first, everything(batches)[0])
    assert torch.equal(first, everything(again)[0])

    # On the CPU the same, and shuffled the same images with the same labels.
    cpu = data.load("digits", device="cpu").test.batches(100, shuffle=False, binarize="fixed")
    assert torch.equal(first.cpu(), everything(cpu)[0])
    x, y = everything(digits.test.batches(100, binarize="fixed"))
    assert not torch.equal(x, first)
    pairs = [
        torch.cat([x.flatten(1), y[:, None]], dim=1).unique(dim=0)
        for x, y in [(x, y), (first, digits.test.y)]
    ]
    assert torch.equal(*pairs)


def test_fixed_binarisation_is_of_the_image_whichever_way_it_is_reached(digits):
    """In a selection of a selection, across the pieces of 1,024 that the noise is drawn in."""
    split = digits.train
    whole, _ = everything(split.batches(500, shuffle=False, binarize="fixed"))
    some = torch.tensor([1400, 3, 1023, 1024, 3], device=DEVICE)
    selected = split.select(some)
    x, y = everything(selected.batches(2, shuffle=False, binarize="fixed"))
    assert torch.equal(x, whole[some])
    assert torch.equal(y, split.y[some])
    again = selected.select(torch.tensor([False, True, True, False, False], device=DEVICE))
    x, _ = everything(again.batches(2, shuffle=False, binarize="fixed"))
    assert torch.equal(x, whole[some[1:3]])
    x, _ = everything(split.select(some[3:4]).batches(1, binarize="fixed"))  # row 1,024 alone
    assert torch.equal(x, whole[1024:1025])
    assert torch.equal(selected.binarized().rows, some)
    assert list(split.select(split.y == 77).batches(5, binarize="fixed")) == []
    few = dgm.labels.few(split.select(torch.arange(200, 600, device=DEVICE)), 30)
    x, y = everything(few.batches(500, shuffle=False, binarize="fixed"))
    assert torch.equal(x, whole[200:600])
    x, _ = everything(dgm.labels.known(few).batches(500, shuffle=False, binarize="fixed"))
    assert torch.equal(x, whole[200:600][y >= 0])


def test_labelled_images_are_binarised_as_all_are(digits):
    split = dgm.labels.few(digits.train, 30)
    whole, y = everything(split.batches(500, shuffle=False, binarize="fixed"))
    mixed = dgm.labels.MixedBatches(split, 300, 30, binarize="fixed")
    x = next(iter(mixed))[0][300:]  # the labelled ones, in some order
    same = (x[:, None] == whole[y >= 0]).flatten(2).all(2)  # (30, 30)
    assert same.any(0).all()
    assert same.any(1).all()


def test_fixed_binarisation_leaves_the_global_generator_alone(digits):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    everything(digits.test.batches(100, shuffle=False, binarize="fixed"))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("binarize", [None, "dynamic"])
def test_batches_repeat_from_a_saved_random_state(binarize):
    batches = data.load("digits", device="cpu").train.batches(128, binarize=binarize)
    everything(batches)
    state = torch.get_rng_state()
    x1, y1 = everything(batches)
    torch.set_rng_state(state)
    x2, y2 = everything(batches)
    assert torch.equal(x1, x2) and torch.equal(y1, y2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_repeat_from_a_saved_random_state_on_a_gpu():
    batches = data.load("digits", device="cuda").train.batches(128, binarize="dynamic")
    state = torch.cuda.get_rng_state()
    x1, y1 = everything(batches)
    torch.cuda.set_rng_state(state)
    x2, y2 = everything(batches)
    assert x2.is_cuda and torch.equal(x1, x2) and torch.equal(y1, y2)


# ---------------------------------------------------------------------------------------------
# Toys
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOYS)
def test_toy_density_integrates_to_one(name):
    line = torch.arange(-2.25, 2.25, 0.02)  # the step is under half of the smallest sigma, 0.05
    x = torch.cartesian_prod(line, line).to(DEVICE)
    mass = data.load(name).density.log_prob(x).double().exp().sum().item() * 0.02**2
    assert mass == pytest.approx(1, abs=1e-4)


def test_toy_density_is_the_mixture_of_its_docstring():
    density = toys.ring(modes=3, radius=2.0, sigma=0.5, device="cpu")
    x = torch.tensor([[0.3, -1.2], [2.0, 0.0], [-1.0, 1.5]])
    expected = 0
    for angle in (0, 2 * math.pi / 3, 4 * math.pi / 3):
        mean = torch.tensor([2 * math.cos(angle), 2 * math.sin(angle)])
        squared = ((x - mean) ** 2).sum(dim=1)
        expected += (-squared / (2 * 0.5**2)).exp() / (2 * math.pi * 0.5**2) / 3
    assert torch.allclose(density.log_prob(x), expected.log(), atol=1e-5)


@pytest.mark.parametrize("name", TOYS)
def test_toy_points_come_from_the_density(name):
    toy = data.load(name)
    assert (toy.shape, toy.levels, len(toy.train), len(toy.test)) == ((2,), None, 4000, 1000)
    assert toy.train.x.dtype == torch.float32 and toy.train.y.dtype == torch.int64
    assert toy.train.images is toy.train.x
    assert toy.classes == tuple(str(k) for k in range(len(toy.classes)))

    # E log p is the negative entropy: the points and torch's own draws must agree on it.
    torch.manual_seed(0)
    own = toy.density.log_prob(torch.cat([toy.train.x, toy.test.x]))  # (5000,)
    torchs = toy.density.log_prob(toy.density.sample((20000,)))  # (20000,)
    error = (own.var() / len(own) + torchs.var() / len(torchs)).sqrt()
    assert abs(own.mean() - torchs.mean()) < 4 * error
    # So must E x x' and E x, which log p alone would not see under a symmetry.
    draws = toy.density.sample((20000,))
    for f in (lambda x: x, lambda x: x**2, lambda x: x.prod(-1)):
        a, b = f(toy.train.x), f(draws)
        error = (a.var(0) / len(a) + b.var(0) / len(b)).sqrt()
        assert ((a.mean(0) - b.mean(0)).abs() < 4 * error).all()


@pytest.mark.parametrize("name", TOYS)
def test_toy_labels_are_the_modes_or_arms(name):
    toy = data.load(name)
    labels = len(toy.classes)
    assert labels == {"ring": 8, "grid": 25, "moons": 2, "spirals": 2}[name]
    counts = torch.bincount(toy.train.y, minlength=labels).double()
    error = math.sqrt(4000 * (1 / labels) * (1 - 1 / labels))
    assert len(counts) == labels and ((counts - 4000 / labels).abs() < 4.5 * error).all()
    # The nearest Gaussian is nearly always one of the point's own mode or arm.
    means = toy.density.component_distribution.mean  # (K, 2)
    nearest = torch.cdist(toy.train.x, means).argmin(dim=1)
    agree = (nearest * labels // len(means) == toy.train.y).double().mean()
    assert agree > 0.99


@pytest.mark.parametrize("name", TOYS)
def test_toys_are_fixed_and_need_no_binarising(name):
    torch.manual_seed(1)
    a = data.load(name)
    torch.manual_seed(2)
    b = data.load(name, device="cpu")
    assert torch.equal(a.train.x.cpu(), b.train.x) and torch.equal(a.test.y.cpu(), b.test.y)
    x, y = next(iter(a.train.batches(64)))
    assert x.shape == (64, 2) and x.dtype == torch.float32 and y.shape == (64,)
    with pytest.raises(ValueError, match="binarize must be None for points .* got 'fixed'"):
        a.train.batches(64, binarize="fixed")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: toys.ring(modes=0), "modes: got 0, expected an integer of at least 1"),
        (lambda: toys.ring(modes=2.5), "modes: got 2.5, expected an integer of at least 1"),
        (lambda: toys.ring(radius=-1.0), "radius: got -1.0, expected a positive number"),
        (lambda: toys.ring(sigma=math.nan), "sigma: got nan, expected a positive number"),
        (lambda: toys.grid(side=0), "side: got 0, expected an integer of at least 1"),
        (lambda: toys.grid(spacing=0), "spacing: got 0, expected a positive number"),
        (lambda: toys.moons(points=-3), "points: got -3, expected an integer of at least 1"),
        (lambda: toys.spirals(sigma="a"), "sigma: got 'a', expected a positive number"),
    ],
)
def test_bad_toys(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---------------------------------------------------------------------------------------------
# An .npz
# ---------------------------------------------------------------------------------------------


def arrays(shape=(4, 5), train=6, test=3):
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (train, *shape), dtype=np.uint8),
        "y_train": np.arange(train) % 3,
        "x_test": rng.integers(0, 256, (test, *shape), dtype=np.uint8),
        "y_test": np.arange(test) % 3,
    }


def npz(path, **changes):
    """An .npz of `arrays()` with some of them changed, or left out where the change is None."""
    content = {k: v for k, v in (arrays() | changes).items() if v is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **content)
    return path


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
def test_npz_of_grey_and_colour_images(tmp_path, shape):
    content = arrays(shape)
    own = data.load(npz(tmp_path / "own.npz", **content))
    channels = 3 if shape[2:] == (3,) else 1
    assert own.name == "own" and own.shape == (channels, 4, 5) and own.levels == 256
    assert own.classes == ("0", "1", "2") and own.density is None
    assert own.train.x.is_contiguous()
    pixel = content["x_train"].reshape(6, 4, 5, channels)[2, 3, 1, channels - 1]
    assert own.train.x[2, channels - 1, 3, 1] == int(pixel)
    assert own.test.y.tolist() == [0, 1, 2] and own.test.y.dtype == torch.int64
    assert own.train.images[0, 0, 0, 0].item() == pytest.approx(content["x_train"].flat[0] / 255)


def test_npz_with_unlabelled_images(tmp_path):
    path = npz(tmp_path / "own.npz", y_train=np.array([-1, 0, 1, -1, 0, 1], np.int8))
    assert data.load(str(path)).train.y.tolist() == [-1, 0, 1, -1, 0, 1]


def labelled(folder, y_train, y_test, top=255):
    x = np.full((len(y_train), 8, 8), top, np.uint8)
    np.savez(folder / "own.npz", x_train=x, y_train=y_train, x_test=x[: len(y_test)], y_test=y_test)
    return data.load(folder / "own.npz")


def test_labels_that_do_not_start_at_zero_are_numbered(tmp_path):
    letters = labelled(tmp_path, np.arange(52) % 26 + 1, np.array([26, 1]))
    assert letters.classes == tuple(str(n) for n in range(1, 27))
    assert letters.train.y.tolist() == [n % 26 for n in range(52)]
    assert letters.test.y.tolist() == [25, 0]
    assert dgm.labels.few(letters.train, 26).y.tolist().count(-1) == 26


def test_labels_with_gaps_are_numbered_alike_in_both_halves(tmp_path):
    own = labelled(tmp_path, np.array([7, -1, 2**40, 3]), np.array([5, -1]))
    assert own.classes == ("3", "5", "7", str(2**40))
    assert own.train.y.tolist() == [2, -1, 3, 0]
    assert own.test.y.tolist() == [1, -1]


def test_labels_of_the_widest_types_keep_apart(tmp_path):
    """int64 beside uint64 would meet in float64, which does not tell 2^60 from 2^60 + 1."""
    own = labelled(tmp_path, np.array([2**60, 2**60 + 1], np.uint64), np.array([2**60]))
    assert own.classes == (str(2**60), str(2**60 + 1))
    with pytest.raises(ValueError, match="y_train must be labels"):
        labelled(tmp_path, np.array([2**63, 0], np.uint64), np.array([0]))


def test_images_of_zeros_and_ones_are_binary_and_not_nearly_black(tmp_path):
    own = labelled(tmp_path, np.array([0, 1]), np.array([0]), top=1)
    assert own.levels == own.train.levels == 2
    assert own.train.images.max() == 1
    assert labelled(tmp_path, np.array([0, 1]), np.array([0]), top=2).levels == 256
    dark = np.zeros((2, 8, 8), np.uint8)
    for grey in ("x_train", "x_test"):  # in one half alone
        own = {"x_train": dark, "x_test": dark, grey: dark + 9}
        np.savez(tmp_path / "own.npz", y_train=[0, 1], y_test=[0, 1], **own)
        assert data.load(tmp_path / "own.npz").levels == 256


def test_npz_in_the_data_folder_comes_before_a_download(tmp_path, monkeypatch):
    import torchvision

    npz(tmp_path / "data" / "cifar10.npz", **arrays((32, 32, 3)))
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", None)
    loaded = data.load("cifar10")
    assert loaded.shape == (3, 32, 32) and loaded.name == "cifar10"
    assert loaded.classes[:2] == ("airplane", "automobile") and len(loaded.classes) == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None, "x_test": None}, "must hold x_train, .*; missing: x_test, y_test"),
        ({"x_train": np.zeros((6, 4, 5))}, "x_train must be uint8 .*, got float64"),
        ({"x_test": np.zeros((3, 4, 5), np.int64)}, "x_test must be uint8 .*, got int64"),
        ({"x_train": np.zeros((6, 20), np.uint8)}, r"x_train must be .*; got \(6, 20\)"),
        ({"x_train": np.zeros((6, 3, 4, 5), np.uint8)}, r"x_train must be .*; got \(6, 3, 4, 5\)"),
        ({"x_test": np.zeros((3, 1, 4, 5, 1), np.uint8)}, "x_test must be .*; got"),
        ({"x_test": np.zeros((0, 4, 5), np.uint8)}, "x_test must not be empty, got shape .0, 4, 5"),
        (
            {"x_test": np.zeros((3, 5, 5), np.uint8)},
            r"x_test .* x_train's .*\(4, 5\), got \(5, 5\)",
        ),
        ({"y_train": np.zeros(6)}, r"y_train must be \(N,\) integers, got float64 of shape \(6,\)"),
        ({"y_train": np.zeros((6, 1), int)}, r"y_train must be .* got int64 of shape \(6, 1\)"),
        ({"y_test": np.zeros(2, int)}, "y_test must hold one label per image, 3, got 2"),
        ({"y_test": np.array([0, -2, 1])}, "y_test must be labels from 0 up .* got -2 to 1"),
        ({"y_test": np.array([0, None, 1])}, "must be an .npz of plain arrays, but: .*pickle"),
    ],
)
def test_bad_npz(tmp_path, changes, message):
    path = npz(tmp_path / "own.npz", **changes)
    with pytest.raises(ValueError, match=f"{path}.*{message}"):
        data.load(path)


def test_labels_beyond_the_known_classes(tmp_path):
    npz(tmp_path / "data" / "mnist.npz", y_train=np.array([0, 1, 2, 3, 4, 10]))
    with pytest.raises(
        ValueError, match="mnist.npz: y_train must be .* from 0 to 9 .* got 0 to 10"
    ):
        data.load("mnist")


def test_missing_npz(tmp_path):
    with pytest.raises(ValueError, match=f"there is no file {tmp_path}/none.npz"):
        data.load(tmp_path / "none.npz")


@pytest.mark.parametrize("damage", ["truncated", "garbage", "nothing", "bit", "an .npy"])
def test_damaged_npz_is_reported_and_kept(tmp_path, damage):
    path = npz(tmp_path / "data" / "mnist.npz")
    whole = path.read_bytes()
    middle = whole.index(arrays()["x_train"].tobytes()) + 60  # a pixel
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    parts = {"truncated": whole[:-50], "garbage": b"<html>404</html>", "nothing": b""}
    if damage == "an .npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        path.write_bytes((parts | {"bit": flipped})[damage])
    content = path.read_bytes()
    with pytest.raises(ValueError, match=f"{path} must be an .npz of plain arrays, but: "):
        data.load("mnist")
    assert path.read_bytes() == content


# ---------------------------------------------------------------------------------------------
# Downloads. A server of small files stands in for the network: torchvision's own code runs, only
# its two functions that open a connection are replaced, and the sums it knows are the small files'.
# ---------------------------------------------------------------------------------------------


def idx(x):
    """The bytes of an IDX file, the format of MNIST: type and rank, the sizes, the data."""
    return bytes([0, 0, 8, x.ndim]) + np.array(x.shape, ">i4").tobytes() + x.tobytes()


class Server:
    """Files by name; `broken` says which requests, by number, are cut short or get no answer."""

    def __init__(self):
        self.files, self.requests, self.broken = {}, [], {}

    def retrieve(self, url, path, *args, **kwargs):
        how = self.broken.get(len(self.requests), self.broken.get("all"))
        self.requests.append(url)
        if how == "silent":
            raise URLError("[Errno -2] Name or service not known")
        content = self.files[url.rsplit("/", 1)[1]]
        Path(path).write_bytes(content[: len(content) // 2] if how == "truncated" else content)


@pytest.fixture
def server(monkeypatch):
    import torchvision

    server = Server()
    monkeypatch.setattr(torchvision.datasets.utils, "_urlretrieve", server.retrieve)
    monkeypatch.setattr(torchvision.datasets.utils, "_get_redirect_url", lambda url, **_: url)
    return server


@pytest.fixture
def mnist(server, monkeypatch):
    """Serves five training and two test images as MNIST and as Fashion-MNIST."""
    import torchvision

    content = arrays((28, 28), train=5, test=2)
    names = {"train-images-idx3": "x_train", "train-labels-idx1": "y_train"}
    names |= {"t10k-images-idx3": "x_test", "t10k-labels-idx1": "y_test"}
    for file, array in names.items():
        packed = gzip.compress(idx(content[array].astype(np.uint8)))
        server.files[f"{file}-ubyte.gz"] = packed
    sums = [(file, hashlib.md5(packed).hexdigest()) for file, packed in server.files.items()]
    for (_, md5), array in zip(sums, names.values(), strict=True):
        unpacked = hashlib.md5(idx(content[array].astype(np.uint8))).hexdigest()
        monkeypatch.setitem(data._download.UNPACKED, md5, unpacked)
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", sums)
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", sums)
    return content


@pytest.fixture
def cifar10(server, monkeypatch, tmp_path):
    """Serves one image per file as CIFAR-10."""
    import torchvision

    cifar = torchvision.datasets.CIFAR10
    content = arrays((32, 32, 3), train=5, test=1)
    pixels = np.concatenate([content["x_train"], content["x_test"]]).transpose(0, 3, 1, 2)
    labels = [*content["y_train"].tolist(), *content["y_test"].tolist()]
    files = [file for file, _ in cifar.train_list + cifar.test_list]
    sums = []
    with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz") as tar:
        for k, file in enumerate([*files, "batches.meta"]):
            entry = {"data": pixels[k : k + 1].reshape(-1), "labels": labels[k : k + 1]}
            if file == "batches.meta":
                entry = {"label_names": list("abcdefghij")}
            (tmp_path / file).write_bytes(pickle.dumps(entry))
            sums.append([file, hashlib.md5((tmp_path / file).read_bytes()).hexdigest()])
            tar.add(tmp_path / file, arcname=f"{cifar.base_folder}/{file}")
    server.files[cifar.filename] = (tmp_path / "cifar.tar.gz").read_bytes()
    monkeypatch.setattr(cifar, "train_list", sums[:5])
    monkeypatch.setattr(cifar, "test_list", sums[5:6])
    monkeypatch.setattr(cifar, "meta", cifar.meta | {"md5": sums[6][1]})
    monkeypatch.setattr(cifar, "tgz_md5", hashlib.md5(server.files[cifar.filename]).hexdigest())
    return content


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def check_loaded(loaded, content):
    x = torch.from_numpy(content["x_train"])
    x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)
    assert torch.equal(loaded.train.x.cpu(), x)
    assert loaded.test.y.tolist() == content["y_test"].tolist()
    assert len(loaded.classes) == 10 and loaded.levels == 256


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")]
)
def test_mnist_is_downloaded_once(server, mnist, tmp_path, name, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_loaded(data.load(name), mnist)
        check_loaded(data.load(name), mnist)
    assert len(server.requests) == 4
    raw = [f"{folder}/raw/{file}" for file in server.files]
    assert files(tmp_path / "data") == sorted(raw + [file[:-3] for file in raw])


def test_cifar10_is_downloaded_once(server, cifar10, tmp_path):
    loaded = data.load("cifar10")
    check_loaded(loaded, cifar10)
    check_loaded(data.load("cifar10"), cifar10)
    assert len(server.requests) == 1 and loaded.classes[3] == "cat"
    assert len(files(tmp_path / "data")) == 8


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_no_network(server, mnist, cifar10, tmp_path, name):
    server.broken = {"all": "silent"}
    said = pytest.warns(
        UserWarning, match="(?s)download of .* failed .*not known.*trying once more"
    )
    with said, pytest.raises(RuntimeError) as raised:
        data.load(name)
    message = str(raised.value)
    folder = tmp_path / "data"
    assert f"{name} cannot be had" in message and "Name or service not known" in message
    assert f"{folder}/{name}.npz" in message and f"torchvision's files in {folder}" in message
    assert "set DGM_DATA to a folder that holds" in message and "'digits'" in message
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10"])  # mnist: the second mirror serves
def test_truncated_download_is_removed_and_tried_once_more(server, mnist, cifar10, tmp_path, name):
    server.broken = {0: "truncated"}
    with pytest.warns(UserWarning, match="(?s)failed .*arrived of it is removed; trying once"):
        loaded = data.load(name)
    check_loaded(loaded, cifar10 if name == "cifar10" else mnist)
    assert not [file for file in files(tmp_path / "data") if ".download" in file]


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_download_truncated_every_time(server, mnist, cifar10, tmp_path, name):
    server.broken = {"all": "truncated"}
    with pytest.warns(UserWarning) as said, pytest.raises(RuntimeError, match="cannot be had"):
        data.load(name)
    assert len([warning for warning in said if "trying once more" in str(warning.message)]) == 1
    mirrors = 2 if name == "mnist" else 1
    assert len(server.requests) == 2 * mirrors  # two attempts, each stops at its first file
    assert list((tmp_path / "data").iterdir()) == []


def test_interrupted_download_leaves_nothing(server, mnist, tmp_path, monkeypatch):
    import torchvision

    def interrupt(url, path):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torchvision.datasets.utils, "_urlretrieve", interrupt)
    with pytest.raises(KeyboardInterrupt):
        data.load("mnist")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x03", None, b"<html>not found</html>" * 9])
def test_damaged_raw_file_is_removed_and_downloaded_again(server, mnist, tmp_path, content):
    data.load("mnist")
    damaged = tmp_path / "data/MNIST/raw/train-images-idx3-ubyte"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1] if content is None else content)
    with pytest.warns(UserWarning, match=f"{damaged} is damaged: removed"):
        check_loaded(data.load("mnist"), mnist)
    assert damaged.read_bytes() == whole
    assert len(server.requests) == 4  # torchvision's archive beside it was whole


def test_a_flipped_pixel_is_said(server, mnist, tmp_path):
    data.load("mnist")
    raw = tmp_path / "data/MNIST/raw/train-images-idx3-ubyte"
    content = bytearray(raw.read_bytes())
    content[-100] ^= 1
    raw.write_bytes(content)
    with pytest.warns(UserWarning, match=f"{raw} is not the published file .*Remove it"):
        flipped = data.load("mnist")
    assert not torch.equal(flipped.train.x.cpu()[:, 0], torch.from_numpy(mnist["x_train"]))
    raw.unlink()  # what the warning advises
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_loaded(data.load("mnist"), mnist)


def test_the_sums_of_unpacked_files_are_of_torchvisions_archives():
    from torchvision import datasets

    sums = [
        md5 for name in ("MNIST", "FashionMNIST") for _, md5 in getattr(datasets, name).resources
    ]
    assert list(data._download.UNPACKED) == sums


@pytest.mark.parametrize("error", [PermissionError(13, "Denied"), MemoryError("no more")])
def test_whole_files_that_cannot_be_read_are_kept(server, mnist, tmp_path, monkeypatch, error):
    data.load("mnist")
    for archive in (tmp_path / "data").rglob("*.gz"):  # of which torchvision knows the sums
        archive.unlink()
    before, opened, path_opened = files(tmp_path / "data"), open, Path.open

    def refuse(how, path, *args, **kwargs):  # by hand, since root may read any file
        if "data/MNIST" in str(path):
            raise error
        return how(path, *args, **kwargs)

    monkeypatch.setattr("builtins.open", lambda *args, **more: refuse(opened, *args, **more))
    monkeypatch.setattr(Path, "open", lambda *args, **more: refuse(path_opened, *args, **more))
    said = f"had. {type(error).__name__}: {re.escape(str(error))}"
    with warnings.catch_warnings(), pytest.raises(RuntimeError, match=said):
        warnings.simplefilter("error")
        data.load("mnist")
    assert files(tmp_path / "data") == before
    assert len(server.requests) == 4


def test_what_is_wrong_with_torchvisions_files_names_no_other(server, mnist, tmp_path):
    data.load("mnist")
    labels = tmp_path / "data/MNIST/raw/train-labels-idx1-ubyte"
    labels.write_bytes(idx(np.array([0, 1, 2, 3, 10], np.uint8)))
    with pytest.warns(UserWarning, match="is not the published"), pytest.raises(ValueError) as said:
        data.load("mnist")
    assert str(said.value).startswith(f"MNIST in {tmp_path}/data: y_train must be labels from 0 to")


def test_what_a_killed_download_left_is_removed_later(server, mnist, tmp_path):
    data.load("mnist")
    old, new = (tmp_path / "data" / f".download-{name}" for name in ("killed", "of-another"))
    for folder in (old, new):
        (folder / "MNIST").mkdir(parents=True)
        (folder / "MNIST" / "half").touch()
    hours_ago = time.time() - 2 * 3600
    for path in (*old.rglob("*"), old, new):  # a download that goes on writes to its files
        os.utime(path, (hours_ago, hours_ago))
    data.load("mnist")
    assert not old.exists()
    assert (new / "MNIST" / "half").exists()


def test_damaged_cifar10_is_removed_and_downloaded_again(server, cifar10, tmp_path):
    data.load("cifar10")
    batch = tmp_path / "data/cifar-10-batches-py/data_batch_2"
    archive = tmp_path / "data/cifar-10-python.tar.gz"
    for path in (batch, archive):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning) as said:
        check_loaded(data.load("cifar10"), cifar10)
    removed = [str(warning.message) for warning in said]
    assert removed == [f"{path} is damaged: removed" for path in (archive, batch)]
    assert len(server.requests) == 2


def test_only_what_is_damaged_is_removed(server, mnist, tmp_path):
    raw = tmp_path / "data/MNIST/raw"
    raw.mkdir(parents=True)
    kept = {"mine.txt": b"", "t10k-labels-idx1-ubyte": idx(mnist["y_test"].astype(np.uint8))}
    for file, content in kept.items():
        (raw / file).write_bytes(content)
    (raw / "t10k-images-idx3-ubyte").write_bytes(b"half")
    (tmp_path / "data/notes-ubyte.gz").write_bytes(b"half")
    server.broken = {"all": "silent"}
    with pytest.warns(UserWarning) as said, pytest.raises(RuntimeError):
        data.load("mnist")
    removed = [str(warning.message) for warning in said if "damaged" in str(warning.message)]
    assert removed == [f"{raw / 't10k-images-idx3-ubyte'} is damaged: removed"]
    expected = ["MNIST/raw/mine.txt", "MNIST/raw/t10k-labels-idx1-ubyte", "notes-ubyte.gz"]
    assert files(tmp_path / "data") == expected


def test_archives_put_there_by_hand_need_no_network(server, mnist, tmp_path):
    raw = tmp_path / "data/MNIST/raw"
    raw.mkdir(parents=True)
    for file, content in server.files.items():
        (raw / file).write_bytes(content)
    check_loaded(data.load("mnist"), mnist)
    assert server.requests == []


def test_read_only_folder_is_read_and_named(server, mnist, tmp_path, monkeypatch):
    data.load("mnist")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(tmp_path / "data"))

    # Refused by hand, since root may write to any folder.
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    monkeypatch.setattr("os.replace", refuse)
    check_loaded(data.load("mnist"), mnist)
    with pytest.warns(UserWarning), pytest.raises(RuntimeError) as raised:
        data.load("fashion-mnist")
    assert f"PermissionError: [Errno 13] Permission denied: '{tmp_path}/data'" in str(raised.value)
    assert "set DGM_DATA to a folder" in str(raised.value)


def test_data_folder_that_cannot_be_made(server, mnist, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("DGM_DATA", str(tmp_path / "file" / "data"))
    with pytest.raises(RuntimeError, match="(?s)mnist cannot be had.*file/data.*DGM_DATA"):
        data.load("mnist")


def test_torchvision_that_cannot_be_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(RuntimeError, match="(?s)mnist cannot be had.*torchvision.*'digits'"):
        data.load("mnist")


def test_a_stalled_download_ends(server, mnist, monkeypatch):
    inside = []

    def retrieve(url, path):
        inside.append(socket.getdefaulttimeout())
        server.retrieve(url, path)

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", retrieve)
    before = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(123)
        data.load("mnist")
        assert inside == [30] * 4 and socket.getdefaulttimeout() == 123
    finally:
        socket.setdefaulttimeout(before)


def test_default_folder_is_the_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("DGM_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    npz(tmp_path / "xdg/dgm/mnist.npz", y_test=np.array([7, 7, 7]))
    assert data.load("mnist").test.y.tolist() == [7, 7, 7]
    monkeypatch.delenv("XDG_CACHE_HOME")
    npz(tmp_path / ".cache/dgm/mnist.npz", y_test=np.array([8, 8, 8]))
    assert data.load("mnist").test.y.tolist() == [8, 8, 8]
    monkeypatch.setattr(sys, "platform", "darwin")
    npz(tmp_path / "Library/Caches/dgm/mnist.npz", y_test=np.array([9, 9, 9]))
    assert data.load("mnist").test.y.tolist() == [9, 9, 9]


def test_folders_in_your_home_and_with_spaces(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DGM_DATA", "~/my data")
    npz(tmp_path / "my data" / "mnist.npz", y_test=np.array([7, 7, 7]))
    assert data.load("mnist").test.y.tolist() == [7, 7, 7]
    npz(tmp_path / "my own.npz", y_test=np.array([2, 1, 1]))
    monkeypatch.setenv("DGM_DATASET", "~/my own.npz")
    assert data.load().name == "my own" and data.load().test.y.tolist() == [2, 1, 1]


def test_a_relative_cache_folder_counts_for_none(monkeypatch, tmp_path):
    """Chapters run in another folder than commands: each would have a cache of its own."""
    monkeypatch.delenv("DGM_DATA")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.chdir(tmp_path)
    npz(tmp_path / "cache/dgm/mnist.npz", y_test=np.array([7, 7, 7]))
    npz(tmp_path / ".cache/dgm/mnist.npz", y_test=np.array([8, 8, 8]))
    assert data.load("mnist").test.y.tolist() == [8, 8, 8]


def test_a_missing_file_is_named_with_the_folder_it_was_looked_for_in(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("mine.npz", "~nobody-here/mine.npz"):
        with pytest.raises(ValueError, match=f"there is no file {re.escape(str(tmp_path / name))}"):
            data.load(name)


REAL = os.path.expanduser(os.environ.get("DGM_DATA", ""))


@pytest.mark.skipif(
    not Path(REAL, "MNIST/raw/train-images-idx3-ubyte").is_file(),
    reason="DGM_DATA names no folder that holds MNIST",
)
def test_real_mnist(monkeypatch):
    monkeypatch.setenv("DGM_DATA", REAL)
    mnist = data.load("mnist")
    assert (len(mnist.train), len(mnist.test), mnist.shape) == (60000, 10000, (1, 28, 28))
    assert mnist.train.x.float().mean().item() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert torch.bincount(mnist.test.y).tolist()[:3] == [980, 1135, 1032]  # as published
