"""Every architecture serves every model that is made of networks: one table, filled by names.

A new architecture is in it as soon as `dgm.architectures` offers it.
"""

import copy
from inspect import signature

import pytest
import torch
from tests.every_model import EVERY
from torch import nn
from torch.distributions import constraints

from dgm import architectures, heads, models, nets
from dgm.architectures import Convolution, Perceptron, Residual
from dgm.protocols import Generative, given

ARCHITECTURES = {
    name: getattr(architectures, name)
    for name in architectures.__all__
    if name != "Architecture"  # the protocol itself
}
VECTORS, IMAGES = [(2,)], [(1, 8, 8), (2, 9, 13), (1, 28, 28), (3, 32, 32)]
PAIRS = [
    (name, shape)
    for name, architecture in ARCHITECTURES.items()
    for shape in (IMAGES if architecture.beside is nets.BesideImage else VECTORS + IMAGES)
]


# the models that are made of networks, with and without classes
MODELS = {name.replace(".mlp", ""): entry for name, entry in EVERY.items() if ".mlp" in name}
# (networks that are told the noise level, or what is known, are their own)
TOLD = ("ScoreNetwork", "Diffusion", "Diffusion given y", "MaskedDiffusion")
MODELS = {k: entry for k, entry in MODELS.items() if "," not in k and k not in TOLD}


@pytest.fixture(autouse=True)
def seed(monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    torch.manual_seed(0)


def small(name):
    """An architecture with few weights, so that the table takes milliseconds a line."""
    sizes = {"hidden": (30, 20), "width": 8}
    architecture = ARCHITECTURES[name]
    return architecture(
        **{k: v for k, v in sizes.items() if k in signature(architecture).parameters}
    )


def class_and_options(model):
    """What is built, and with what else than an architecture."""
    options = {key: value for key, value in MODELS[model].sizes.items() if key != "hidden"}
    return getattr(models, model.removesuffix(" given y")), options


def build(architecture, model, shape):
    cls, options = class_and_options(model)
    return cls.of(small(architecture), shape, **options)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("architecture", "shape"), PAIRS)
def test_a_model_of_an_architecture(architecture, shape, model):
    """It generates, decodes, learns from one step, and its copy is another model."""
    network, (x, y) = build(architecture, model, shape), MODELS[model].data(3, shape)
    assert network.shape == shape
    labels = given(network, y)
    if Generative in MODELS[model].protocols:
        drawn = network.sample(3, **labels)
        assert drawn.shape == (3, *shape)
        assert not drawn.requires_grad
        assert network.support.check(drawn).all()
    z = torch.randn(4, 3, 2)  # draws lead
    if hasattr(network, "likelihood"):
        z = z if labels else network.prior().sample((4, 3))
        p = network.likelihood(z, **labels)
        assert (p.batch_shape, p.event_shape) == ((4, 3), shape)
    elif model == "Autoencoder":
        assert network.decode(z).shape == (4, 3, *shape)
    elif model == "Generator":
        assert network(z).shape == (4, 3, *shape)

    objective, twin = MODELS[model].objective, copy.deepcopy(network)
    value = objective(network, x, y)
    assert value.shape == (3,)
    (-value.mean()).backward()
    for name, p in network.named_parameters():
        assert p.grad.isfinite().all() and p.grad.any(), name
    with torch.no_grad():
        for p in network.parameters():
            p -= 1e-3 * p.grad
    assert objective(network, x, y).isfinite().all()
    for p, q in zip(network.parameters(), twin.parameters(), strict=True):
        assert (p != q).any()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_forward_and_backward_on_the_meta_device(architecture, model):
    """A tensor made on the CPU inside a network would meet one on `meta` and raise."""
    network = build(architecture, model, (1, 8, 8)).to("meta")
    x, y = MODELS[model].data(3, (1, 8, 8), "meta")
    MODELS[model].objective(network, x, y).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(("architecture", "shape"), PAIRS)
def test_a_pair_passes_leading_dimensions_and_takes_each_example_alone(architecture, shape):
    pair = small(architecture)
    down, up = pair.encoder(shape), pair.decoder(3, shape)
    last = nets.to_event(up.out_features, shape)
    for network, event, expected in (
        (down, shape, (down.out_features,)),
        (nn.Sequential(up, last), (3,), shape),
    ):
        network, x = network.double(), torch.randn(2, 3, *event, dtype=torch.float64)
        y = network(x)
        assert y.shape == (2, 3, *expected)
        torch.testing.assert_close(network(x[1, 2]), y[1, 2])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_activations_of_an_encoder_are_the_ones_asked_for(architecture):
    encoder = small(architecture).encoder((1, 8, 8), nn.Softplus)
    assert any(isinstance(layer, nn.Softplus) for layer in encoder.modules())
    assert not any(isinstance(layer, nn.ReLU) for layer in encoder.modules())
    critic = build(architecture, "Critic", (1, 8, 8))
    assert not any(isinstance(layer, nn.ReLU) for layer in critic.modules())
    x = torch.rand(2, 1, 8, 8)
    for layer in critic.modules():
        if isinstance(layer, nn.LeakyReLU):
            assert layer.negative_slope == 0.2
            layer.negative_slope = 0.0
    plain = small(architecture).encoder((1, 8, 8))
    plain.load_state_dict(critic.features.state_dict())
    assert torch.equal(plain(x), critic.features(x))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_codes_of_several_choices(architecture):
    """Codes that are no vectors, here of four variables with five values, are flattened."""
    pair, (x, y) = small(architecture), MODELS["ConditionalVAE"].data(3, (1, 8, 8))
    choices = {"latent": (4, 5), "posterior": heads.OneHotCategorical}
    vae = models.VAE.of(pair, (1, 8, 8), **choices)
    conditional = models.ConditionalVAE.of(pair, (1, 8, 8), classes=3, **choices)
    assert vae.posterior(x).event_shape == conditional.posterior(x, y).event_shape == (4, 5)
    assert vae.sample(3).shape == conditional.sample(3, y).shape == x.shape


IMAGES_ONLY = [n for n, a in ARCHITECTURES.items() if a.beside is nets.BesideImage]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("architecture", IMAGES_ONLY)
def test_what_is_no_image_or_too_small_is_refused(architecture, model):
    with pytest.raises(ValueError, match=r"shape: got \(2,\), expected \(channels, height, width"):
        build(architecture, model, (2,))
    with pytest.raises(ValueError, match=r"shape: got \(.*, 4, 9\), expected .* at least 5"):
        build(architecture, model, (1, 4, 9))


# ---------------------------------------------------------------- the short constructors

SHORT = {
    "mlp": (Perceptron, {"hidden": (5, 3)}),
    "conv": (Convolution, {"width": 3}),
    "residual": (Residual, {"width": 3}),
}


def parameters(make, *inputs, **options):
    torch.manual_seed(1)
    return make(*inputs, **options).state_dict()


def same(a, b):
    assert list(a) == list(b)
    return all(torch.equal(p, q) for p, q in zip(a.values(), b.values(), strict=True))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", SHORT)
def test_short_constructors_are_those_of_their_architecture(name, model):
    (architecture, sizes), (cls, options) = SHORT[name], class_and_options(model)
    if name == "mlp" and cls is models.Generator:
        expected = architecture((3, 5))  # a generator's widths are those from z to x
    else:
        expected = architecture(**sizes)
    short = parameters(getattr(cls, name), (1, 8, 8), **sizes, **options)
    assert same(short, parameters(cls.of, expected, (1, 8, 8), **options))


@pytest.mark.parametrize("model", MODELS)
def test_models_from_their_shape_alone(model):
    cls, _ = class_and_options(model)
    hidden = (128, 128) if cls in (models.Generator, models.Critic) else (400,)
    expected = parameters(cls.of, Perceptron(hidden), (1, 8, 8))
    assert same(parameters(cls.mlp, (1, 8, 8)), expected)
    assert cls.conv((1, 8, 8)).shape == cls.residual((1, 8, 8)).shape == (1, 8, 8)


def test_sizes_are_keywords_and_unknown_ones_are_refused():
    for arguments, options in (((3,), {}), ((), {"lantent": 3})):
        with pytest.raises(TypeError, match=r"positional|lantent"):
            models.VAE.mlp((2,), *arguments, **options)


def test_no_model_has_constructors_of_another():
    two = [name for name in MODELS if hasattr(class_and_options(name)[0], "two_layer")]
    assert two == ["VAE"]
    linear = [name for name in MODELS if hasattr(class_and_options(name)[0], "linear")]
    assert linear == ["Autoencoder", "VAE"]


def test_subclasses_are_built_as_what_they_are():
    class Mine(models.VAE):
        pass

    for make in (Mine.mlp, Mine.conv, Mine.residual, Mine.linear, Mine.two_layer):
        assert type(make((1, 8, 8))) is Mine


def test_names_of_parameters_are_those_of_saved_models():
    """Weights in book/records/models, and a reader's own, are found by these names."""
    weights = ["encoder.0.0.layers.0.weight", "encoder.1.parameters_of.0.weight"]
    weights += ["decoder.0.0.weight", "decoder.0.3.layers.0.weight", "decoder.1.logits.layers.0"]
    conv = models.VAE.conv((1, 8, 8)).state_dict()
    assert [n for n in conv if n.endswith("weight")] == [*weights[:-1], f"{weights[-1]}.weight"]
    mlp = models.ConditionalVAE.mlp((1, 8, 8)).state_dict()
    assert [n for n in mlp if n.endswith("weight")] == [
        "encoder.network.0.0.weight",
        "encoder.network.1.parameters_of.0.weight",
        "decoder.network.0.0.weight",
        "decoder.network.1.logits.0.weight",
    ]
    critic = models.Critic.mlp((1, 8, 8)).state_dict()
    assert [n for n in critic if n.endswith("weight")] == [
        "features.1.weight",
        "features.3.weight",
        "logits.weight",
    ]


# ---------------------------------------------------------------- the networks


def test_hidden_layers_are_mirrored():
    pair = Perceptron((5, 3))
    widths = [
        [layer.out_features for layer in network if isinstance(layer, nn.Linear)]
        for network in (pair.encoder((2,)), pair.decoder(1, (2,)))
    ]
    assert widths == [[5, 3], [3, 5]]


def test_a_residual_block_adds_to_what_it_is_given():
    """Blocks whose last convolution is zero change nothing: what is left are the other layers."""
    encoder = Residual(width=4).encoder((1, 9, 13))
    blocks = [m for m in encoder.modules() if isinstance(m, architectures.residual.Block)]
    assert len(blocks) == 2  # 9 x 13 becomes 5 x 7 and 3 x 4
    for block in blocks:
        for p in block.change[-1].parameters():
            nn.init.zeros_(p)
    x = torch.randn(2, 1, 9, 13)
    halve = [m for m in encoder[0].layers if isinstance(m, nn.Conv2d)]
    torch.testing.assert_close(encoder(x), halve[1](halve[0](x)).relu().flatten(1))


def test_a_generators_images_lie_between_0_and_1_and_points_anywhere():
    for name, shape in PAIRS:
        support = build(name, "Generator", shape).support
        assert support is (constraints.real if shape == (2,) else constraints.unit_interval)
