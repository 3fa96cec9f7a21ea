"""Sizes and counts, by one rule in every constructor: integers (NumPy's too), alone or in a row."""

import numpy as np
import pytest
import torch
from tests.every_model import EVERY, Entry

from dgm import models, nets
from dgm.architectures import Convolution, Perceptron
from dgm.checks import event_shape
from dgm.protocols import Generative

IMAGE = (1, 8, 8)
NETWORKS = {  # of which models are made
    "nets.mlp": Entry(lambda shape, hidden: nets.mlp(shape, hidden), {"hidden": 4}),
    "nets of Perceptron": Entry(
        lambda shape, hidden: Perceptron(hidden).encoder(shape), {"hidden": 4}
    ),
    "nets.to_event": Entry(lambda shape, n: nets.to_event(3, shape, n), {"n": 2}),
    "nets of Convolution": Entry(
        lambda shape, latent, width: Convolution(width).decoder(latent, shape),
        {"latent": 2, "width": 4},
        images=True,
    ),
}
ALL = EVERY | NETWORKS
VECTORS = [name for name, entry in ALL.items() if not entry.images]
IMAGES = [name for name, entry in ALL.items() if entry.images]


def parameters(name, shape, sizes):
    """Shapes of everything learned, from a fixed seed: what a constructor has made of sizes."""
    return [tuple(p.shape) for p in ALL[name].make(shape, **sizes).state_dict().values()]


def numpy(value):
    return [np.int64(v) for v in value] if isinstance(value, tuple) else np.int64(value)


@pytest.mark.parametrize("name", VECTORS)
def test_an_integer_shape_is_that_of_a_vector(name):
    sizes = ALL[name].sizes
    expected = parameters(name, (6,), sizes)
    for shape in (6, [6], np.int64(6), [np.int64(6)], np.array([6]), torch.Size([6])):
        assert parameters(name, shape, sizes) == expected
    model = ALL[name].build(6)
    assert getattr(model, "shape", (6,)) == (6,)


@pytest.mark.parametrize("name", ALL)
def test_tuples_lists_and_numpy_integers_are_alike(name):
    sizes = ALL[name].sizes
    expected = parameters(name, IMAGE, sizes)
    assert parameters(name, list(IMAGE), {k: numpy(v) for k, v in sizes.items()}) == expected
    assert parameters(name, np.array(IMAGE), sizes) == expected
    if isinstance(sizes.get("hidden"), int) and not name.startswith(
        ("RBM", "NADE", "LSTM", "nets.mlp")
    ):
        for hidden in ((4,), [4], [np.int64(4)]):
            assert parameters(name, IMAGE, sizes | {"hidden": hidden}) == expected


@pytest.mark.parametrize("name", ALL)
def test_bad_shapes_are_refused_by_name(name):
    for shape in ((), 0, -1, 2.5, (0, 8, 8), (1, 8, 8.0), True, None, "8"):
        with pytest.raises(ValueError, match="^(shape|inputs): got") as raised:
            ALL[name].build(shape)
        assert "expected" in str(raised.value)


@pytest.mark.parametrize(("name", "size"), [(n, size) for n in ALL for size in ALL[n].sizes])
def test_bad_sizes_are_refused_by_name(name, size):
    for value in (-1, 2.5, True, None, "2"):
        with pytest.raises(ValueError, match=f"^{size}: got") as raised:
            ALL[name].build(IMAGE, **{size: value})
        assert "expected" in str(raised.value)


def test_shapes_of_images_alone():
    for name in IMAGES:
        for shape in (8, (8, 8)):
            with pytest.raises(ValueError, match=r"shape: got \(8.*expected \(channels, height, w"):
                ALL[name].build(shape)


def test_two_layers_need_two_of_each():
    for sizes in ({"latent": 2}, {"latent": (3, 2, 1)}, {"hidden": 4}, {"hidden": (4,)}):
        with pytest.raises(ValueError, match=f"^{next(iter(sizes))}: got .* expected"):
            models.VAE.two_layer(IMAGE, **sizes)


def test_event_shape_has_a_size():
    assert event_shape(np.int64(3)) == (3,)
    with pytest.raises(ValueError, match=r"shape: got \(\), expected at least one size"):
        event_shape(())


@pytest.mark.parametrize("name", [n for n, e in EVERY.items() if Generative in e.protocols])
def test_the_number_of_samples_is_a_positive_integer(name):
    model = EVERY[name].build(IMAGE)
    more = {"steps": 1} if name == "RBM" else {}
    if model.classes:
        more["y"] = torch.zeros(2, dtype=torch.long)
    assert model.sample(np.int64(2), **more).shape == (2, *IMAGE)
    for n in (0, -1, 2.5, True, None):
        with pytest.raises(ValueError, match=f"^n: got {n}, expected an integer of at least 1"):
            model.sample(n, **more)
