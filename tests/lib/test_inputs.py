"""Data that models of vectors and sequences refuse, by one rule; and torch's default type, device.

The rule: x is a tensor of the model's own floating-point type and event shape; what fits a model to
it also refuses what is empty, not finite or outside the support.
"""

import matplotlib.pyplot as plt
import pytest
import torch
from tests.every_model import EVERY

from dgm import data, evaluate, figures, labels, models, plots
from dgm.heads import Levels
from dgm.protocols import Tractable
from dgm.train import em_step

PIXELS = (1, 2, 4)
FITTED = ["PCA", "PPCA", *(name for name in EVERY if "Mixture" in name)]
VECTORS = [*FITTED, "RBM"]  # the last by gradients alone
SEQUENCES = [
    n for n, e in EVERY.items() if isinstance(e.support, Levels) and Tractable in e.protocols
]
SEQUENCES = [name for name in SEQUENCES if not name.endswith("given y")]
# methods of x alone: those that look at its shape and type, and those that look at every value
LOOK_AT_SHAPES = ["encode", "forward", "log_prob", "log_joint", "posterior", "e_step"]
LOOK_AT_SHAPES += ["energy", "joint_energy", "hidden", "gibbs"]
LOOK_AT_VALUES = ["fit", "initialize", "m_step"]


def calls(model, names):
    """The methods of these names that the model has, as functions of x alone."""
    for name in names:
        method = getattr(model, name, None)
        if method is None or (name == "forward" and not isinstance(model, models.PCA)):
            continue
        if name == "m_step":
            q = model.posterior(binary().to(next(model.parameters())))
            yield name, lambda x, f=method, q=q: f(x, q)
        elif name == "joint_energy":
            yield name, lambda x, f=method: f(x, torch.ones(6, 3, device="cpu"))
        elif name == "fit" and isinstance(model, models._mixture.Mixture):
            yield name, lambda x, f=method: f(x, torch.arange(6, device="cpu") % 2)
        else:
            yield name, method


@pytest.fixture(autouse=True)
def defaults(monkeypatch):
    """On the CPU, from one seed; torch's default type and device are restored."""
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    torch.manual_seed(0)
    yield
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)
    plt.close("all")


def binary(n=6):
    return torch.bernoulli(torch.full((n, *PIXELS), 0.5, device="cpu"))


@pytest.mark.parametrize("name", VECTORS)
def test_x_is_a_tensor_of_the_models_own_type_and_shape(name):
    model, x = EVERY[name].build(PIXELS), binary()
    seen = 0
    for _, call in calls(model, LOOK_AT_SHAPES + LOOK_AT_VALUES):
        call(x)
        for bad, message in (
            (x.double(), "x: got torch.float64, expected torch.float32, the model's"),
            (x.numpy(), "x: got a ndarray, expected a tensor"),
            (x.long(), "x: got torch.int64, expected floating-point numbers"),
            (x.bool(), "x: got torch.bool, expected floating-point numbers"),
            (x.movedim(1, -1), r"x: got shape \(6, 2, 4, 1\), expected \(..., 1, 2, 4\)"),
        ):
            with pytest.raises(ValueError, match=message):
                call(bad)
        seen += 1
    assert seen >= 3


@pytest.mark.parametrize("name", FITTED)
def test_what_fits_a_model_looks_at_every_value(name):
    model, x = EVERY[name].build(PIXELS), binary()
    bad = [
        (x[:0], "x: got 0 examples"),
        (x / 0, "x: got values that are not finite"),
        (x[0], r"x: got shape \(1, 2, 4\), expected \(N, 1, 2, 4\)"),
    ]
    if name == "BernoulliMixture":
        bad.append((x / 2, "x: got values outside the support"))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for _, call in calls(model, LOOK_AT_VALUES):
        for value, message in bad:
            with pytest.raises(ValueError, match=message):
                call(value)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", FITTED)
def test_a_model_keeps_its_type(name, dtype):
    model, x = EVERY[name].build(PIXELS).to(dtype), binary().to(dtype)
    for _, call in calls(model, LOOK_AT_VALUES):
        call(x)
    assert {v.dtype for v in model.state_dict().values()} == {dtype}


# ------------------------------------------------------------------ labels


def test_components_that_are_known():
    model, x = models.BernoulliMixture(PIXELS, 2), binary()
    y = torch.arange(6) % 2
    expected = model.fit(x, y).logits.clone()
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
        assert torch.equal(model.fit(x, y.to(dtype)).logits, expected)
    for bad in (y.float(), y.bool()):
        with pytest.raises(ValueError, match=f"y: got labels of type {bad.dtype}, expected int"):
            model.fit(x, bad)
    with pytest.raises(ValueError, match="y: got a ndarray"):
        model.fit(x, y.numpy())
    with pytest.raises(ValueError, match=r"y: got None.*EM: .*dgm\.train\.em_step"):
        model.fit(x)
    em_step(model.initialize(x))((x,))  # as the message says


@pytest.mark.parametrize("name", SEQUENCES)
def test_x_of_sequences(name):
    model, x = EVERY[name].build(PIXELS, levels=2), binary()
    assert torch.equal(model.log_prob(x.byte()), model.log_prob(x))  # tokens
    for bad, message in (
        (x.double(), "x: got torch.float64, expected torch.float32"),
        (x.numpy(), "x: got a ndarray"),
        (x[0], r"x: got shape \(1, 2, 4\), expected \([BN], 1, 2, 4\)"),
        (x.movedim(1, -1), r"x: got shape \(6, 2, 4, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model.log_prob(bad)


def test_indicators_are_no_codes():
    model = models.MADE(PIXELS, 3, hidden=4)
    levels = torch.tensor([0.0, 0.5, 1.0])
    assert model.indicators(levels).tolist() == [[0, 0], [1, 0], [0, 1]]
    with pytest.raises((AttributeError, ValueError)):
        evaluate.encode(model, binary())


# ------------------------------------------------------------------ torch's defaults


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", ["digits", "ring", "grid", "moons", "spirals"])
def test_data_in_the_default_type_are_the_same_up_to_rounding(name, dtype):
    usual = data.load(name)
    torch.set_default_dtype(dtype)
    split, expected = data.load(name).train, usual.train
    assert split.images.dtype == dtype
    eps = max(torch.finfo(t).eps for t in (dtype, torch.float32))
    # rounded are points and means, up to 2, and in float32 the angles of means, up to 3 pi
    torch.testing.assert_close(split.images.float(), expected.images.float(), rtol=0, atol=20 * eps)
    assert torch.equal(split.y, expected.y)
    if name != "digits":
        density = data.load(name).density
        assert density.log_prob(split.images).dtype == dtype
    elif dtype == torch.float64:  # the same draws
        fixed = next(iter(split.batches(99, shuffle=False, binarize="fixed")))[0]
        torch.set_default_dtype(torch.float32)
        wanted = next(iter(usual.train.batches(99, shuffle=False, binarize="fixed")))[0]
        assert torch.equal(fixed.float(), wanted)


def test_bfloat16_by_default():
    torch.set_default_dtype(torch.bfloat16)
    digits, moons = data.load("digits"), data.load("moons").train.x[:200]
    pca = models.PCA(digits.shape, 2).fit(digits.train.images)
    assert pca.components.dtype == torch.bfloat16
    exact = models.PCA(digits.shape, 2).float().fit(digits.train.images.float())
    # two digits of each number, and errors of 64 products in a code
    torch.testing.assert_close(pca.components.float(), exact.components, rtol=0, atol=0.004)
    for kind in ("diagonal", "spherical"):
        model = models.GaussianMixture((2,), 3, kind).initialize(moons)
        before = model.log_prob(moons).float().mean()
        for _ in range(5):
            model.m_step(moons, model.e_step(moons))
        assert model.log_prob(moons).float().mean() > before
    for model in (models.GaussianMixture((2,), 3), models.PPCA((2,), 1)):
        for _, call in calls(model, ["log_prob", "posterior", "fit", "initialize"]):
            with pytest.raises(ValueError, match=r"x: got torch.bfloat16, expected .*model.float"):
                call(moons[:6])
        model.float().initialize(moons.float())
        model.m_step(moons.float(), model.e_step(moons.float()))


def pictures():
    """One of each kind that takes tensors, from tensors on the CPU."""
    digits, toy = data.load("digits"), data.load("moons")
    x, y = digits.test.images[:60], digits.test.y[:60]
    with torch.device("cpu"):  # where the owner put it
        pca = models.PCA(digits.shape, 2).fit(digits.train.images)
    z = pca.encode(x)
    box = (z.amin(0), z.amax(0))
    plots.grid(x[:6])
    plots.latent_scatter(z, y)
    plots.stacked_histograms(z, y)
    plots.compare_2d({}, toy, n=10)
    plots.manifold(pca.decode, side=3, device="cpu")
    plots.manifold(pca.decode, side=3, box=box)
    plots.interpolation(pca.decode, z[0], z[1], path=plots.slerp)
    figures.latent_plane(pca, z, y)._repr_mimebundle_()
    grid = torch.linspace(-10, 10, 401, dtype=torch.float64, device="cpu")
    prior = -0.5 * grid.square() - 0.92  # log N(0, 1), nearly
    figures.distribution_1d(grid, prior - 0.5 * (1 - grid).square(), prior)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_pictures_in_the_default_type(dtype):
    torch.set_default_dtype(dtype)
    pictures()


def test_pictures_with_another_default_device():
    """`meta` holds no values: a tensor made there in passing would raise."""
    torch.set_default_device("meta")
    pictures()


def test_data_with_another_default_device():
    expected = [data.load(name).train.images for name in ("digits", "ring", "moons", "spirals")]
    few = labels.few(data.load("digits").train, 100).y
    torch.set_default_device("meta")
    for name, images in zip(("digits", "ring", "moons", "spirals"), expected, strict=True):
        assert torch.equal(data.load(name).train.images, images)
    train = data.load("digits").train
    assert next(iter(train.batches(9, binarize="fixed")))[0].device.type == "cpu"
    assert torch.equal(labels.few(train, 100).y, few)


@pytest.mark.parametrize("name", VECTORS)
def test_models_are_fitted_where_they_are(name):
    model, x = EVERY[name].build(PIXELS), binary()
    torch.set_default_device("meta")
    for _, call in calls(model, LOOK_AT_SHAPES + LOOK_AT_VALUES):
        call(x)
    assert {v.device.type for v in model.state_dict().values()} == {"cpu"}
