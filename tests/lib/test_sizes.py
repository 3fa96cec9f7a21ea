"""Sizes and counts, by one rule in every constructor: integers (NumPy's too), alone or in a row."""

import numpy as np
import pytest
import torch

from dgm import models, nets
from dgm.architectures import Convolution, Perceptron
from dgm.checks import event_shape

IMAGE = (1, 8, 8)
A = models  # for short lines below

# constructor -> the keywords that make it small
VECTORS = {
    "PCA": (A.PCA, {"latent": 2}),
    "PPCA": (A.PPCA, {"latent": 2}),
    "GaussianMixture": (A.GaussianMixture, {"components": 2}),
    "BernoulliMixture": (A.BernoulliMixture, {"components": 2}),
    "RBM": (A.RBM, {"hidden": 3}),
    "FVSBN": (A.FVSBN, {"levels": 3, "classes": 2}),
    "NADE": (A.NADE, {"levels": 3, "hidden": 4, "classes": 2}),
    "MADE": (A.MADE, {"levels": 3, "hidden": 4, "classes": 2}),
    "LSTM": (A.LSTM, {"levels": 3, "hidden": 4, "layers": 1, "classes": 2}),
    "Transformer": (
        A.Transformer,
        {"levels": 3, "width": 4, "layers": 1, "heads": 2, "classes": 2},
    ),
    "Autoencoder.linear": (A.Autoencoder.linear, {"latent": 2}),
    "Autoencoder.mlp": (A.Autoencoder.mlp, {"latent": 2, "hidden": 4}),
    "VAE.linear": (A.VAE.linear, {"latent": 2}),
    "VAE.mlp": (A.VAE.mlp, {"latent": 2, "hidden": 4}),
    "VAE.two_layer": (A.VAE.two_layer, {"latent": (3, 2), "hidden": (4, 3)}),
    "ConditionalVAE.mlp": (A.ConditionalVAE.mlp, {"latent": 2, "hidden": 4, "classes": 3}),
    "M2.mlp": (A.M2.mlp, {"latent": 2, "hidden": 4, "classes": 3}),
    "PCVAE.mlp": (A.PCVAE.mlp, {"latent": 2, "hidden": 4, "classes": 3}),
    "Generator.mlp": (A.Generator.mlp, {"latent": 2, "hidden": 4, "classes": 0}),
    "Critic.mlp": (A.Critic.mlp, {"hidden": 4, "classes": 0}),
    "nets.mlp": (lambda shape, hidden: nets.mlp(shape, hidden), {"hidden": 4}),
    "nets of Perceptron": (
        lambda shape, hidden: Perceptron(hidden).encoder(shape),
        {"hidden": 4},
    ),
    "nets.to_event": (lambda shape, n: nets.to_event(3, shape, n), {"n": 2}),
}
IMAGES = {
    "PixelCNN": (A.PixelCNN, {"levels": 3, "width": 4, "layers": 1, "classes": 2}),
    "GatedPixelCNN": (A.GatedPixelCNN, {"levels": 3, "width": 4, "layers": 1, "classes": 2}),
    "Autoencoder.conv": (A.Autoencoder.conv, {"latent": 2, "width": 4}),
    "VAE.conv": (A.VAE.conv, {"latent": 2, "width": 4}),
    "ConditionalVAE.conv": (A.ConditionalVAE.conv, {"latent": 2, "width": 4, "classes": 3}),
    "M2.conv": (A.M2.conv, {"latent": 2, "width": 4, "classes": 3}),
    "PCVAE.conv": (A.PCVAE.conv, {"latent": 2, "width": 4, "classes": 3}),
    "Generator.conv": (A.Generator.conv, {"latent": 2, "width": 4, "classes": 0}),
    "Critic.conv": (A.Critic.conv, {"width": 4, "classes": 0}),
    "Autoencoder.residual": (A.Autoencoder.residual, {"latent": 2, "width": 4}),
    "nets of Convolution": (
        lambda shape, latent, width: Convolution(width).decoder(latent, shape),
        {"latent": 2, "width": 4},
    ),
}
ALL = VECTORS | IMAGES


def parameters(name, shape, sizes):
    """Shapes of everything learned, from a fixed seed: what a constructor has made of sizes."""
    return [tuple(p.shape) for p in ALL[name][0](shape, **sizes).state_dict().values()]


def numpy(value):
    return [np.int64(v) for v in value] if isinstance(value, tuple) else np.int64(value)


@pytest.mark.parametrize("name", VECTORS)
def test_an_integer_shape_is_that_of_a_vector(name):
    sizes = VECTORS[name][1]
    expected = parameters(name, (6,), sizes)
    for shape in (6, [6], np.int64(6), [np.int64(6)], np.array([6]), torch.Size([6])):
        assert parameters(name, shape, sizes) == expected
    model = VECTORS[name][0](6, **sizes)
    assert getattr(model, "shape", (6,)) == (6,)


@pytest.mark.parametrize("name", ALL)
def test_tuples_lists_and_numpy_integers_are_alike(name):
    sizes = ALL[name][1]
    expected = parameters(name, IMAGE, sizes)
    assert parameters(name, list(IMAGE), {k: numpy(v) for k, v in sizes.items()}) == expected
    assert parameters(name, np.array(IMAGE), sizes) == expected
    if isinstance(sizes.get("hidden"), int) and name not in ("RBM", "NADE", "LSTM", "nets.mlp"):
        for hidden in ((4,), [4], [np.int64(4)]):
            assert parameters(name, IMAGE, sizes | {"hidden": hidden}) == expected


@pytest.mark.parametrize("name", ALL)
def test_bad_shapes_are_refused_by_name(name):
    build, sizes = ALL[name]
    for shape in ((), 0, -1, 2.5, (0, 8, 8), (1, 8, 8.0), True, None, "8"):
        with pytest.raises(ValueError, match="^(shape|inputs): got") as raised:
            build(shape, **sizes)
        assert "expected" in str(raised.value)


@pytest.mark.parametrize(("name", "size"), [(n, size) for n in ALL for size in ALL[n][1]])
def test_bad_sizes_are_refused_by_name(name, size):
    build, sizes = ALL[name]
    for value in (-1, 2.5, True, None, "2"):
        with pytest.raises(ValueError, match=f"^{size}: got") as raised:
            build(IMAGE, **sizes | {size: value})
        assert "expected" in str(raised.value)


def test_shapes_of_images_alone():
    for name in IMAGES:
        for shape in (8, (8, 8)):
            with pytest.raises(ValueError, match=r"shape: got \(8.*expected \(channels, height, w"):
                ALL[name][0](shape, **ALL[name][1])


def test_two_layers_need_two_of_each():
    for sizes in ({"latent": 2}, {"latent": (3, 2, 1)}, {"hidden": 4}, {"hidden": (4,)}):
        with pytest.raises(ValueError, match=f"^{next(iter(sizes))}: got .* expected"):
            models.VAE.two_layer(IMAGE, **sizes)


def test_event_shape_has_a_size():
    assert event_shape(np.int64(3)) == (3,)
    with pytest.raises(ValueError, match=r"shape: got \(\), expected at least one size"):
        event_shape(())


SAMPLED = [
    name
    for name in ALL
    if name not in ("PCA", "Critic.mlp", "Critic.conv") and not name.startswith(("Auto", "nets"))
]


@pytest.mark.parametrize("name", [*SAMPLED, "OrderEnsemble"])
def test_the_number_of_samples_is_a_positive_integer(name):
    if name == "OrderEnsemble":
        model = models.MADE(IMAGE, hidden=4).ensemble(orders=np.int64(2))
    else:
        build, sizes = ALL[name]
        model = build(IMAGE, **sizes)
    more = {"steps": 1} if name == "RBM" else {}
    if model.classes:
        more["y"] = torch.zeros(2, dtype=torch.long)
    assert model.sample(np.int64(2), **more).shape == (2, *IMAGE)
    for n in (0, -1, 2.5, True, None):
        with pytest.raises(ValueError, match=f"^n: got {n}, expected an integer of at least 1"):
            model.sample(n, **more)
