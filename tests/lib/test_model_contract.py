"""What every model promises, checked of each in one table: `tests/every_model.py`."""

import copy
import inspect

import pytest
import torch
from tests.every_model import CLASSES, EVERY, SHAPE
from torch import nn
from torch.distributions.constraints import Constraint

from dgm import models, protocols
from dgm.checks import check_data
from dgm.protocols import (
    Denoiser,
    Energy,
    Generative,
    LatentVariable,
    SemiSupervised,
    Tractable,
    given,
)
from dgm.train import History, gradient_step, load_checkpoint, save_checkpoint

PROTOCOLS = {p for p in vars(protocols).values() if getattr(p, "_is_runtime_protocol", False)}
NO_MODELS = {"FromArchitecture", "M1", "Codebook", "FiniteScalar"}  # parts of models; a classifier
N = 6
DECODERS = [n for n, e in EVERY.items() if LatentVariable in e.protocols]
DECODERS += [n for n in EVERY if n.startswith(("Autoencoder", "Generator", "PCA"))]

every_model = pytest.mark.parametrize("name", EVERY)
every_shape = pytest.mark.parametrize(
    ("name", "shape"),
    [(name, s) for name, e in EVERY.items() for s in ([SHAPE] if e.images else [SHAPE, (3,)])],
)


@pytest.fixture(autouse=True)
def defaults(monkeypatch):
    """On the CPU, from one seed; torch's default device is restored."""
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    torch.manual_seed(0)
    yield
    torch.set_default_device(None)


def seeded(f, *inputs):
    torch.manual_seed(1)
    return f(*inputs)


@torch.no_grad()
def scattered(model):
    """The same model elsewhere: no two fresh ones are alike, and a symmetric start is left."""
    for value in [*model.parameters()] or model.buffers():
        value.add_(0.3 * torch.randn_like(value))
    return model


def draw(model, y):
    """As many samples as labels, which are given if the model takes them."""
    return model.sample(N, **given(model, y))


def codes(model, x, y, *lead):
    """Something that the model can decode, (*lead, latent); noise if it has no prior."""
    if isinstance(model, models.Dequantised | models.VQVAE):
        return model.posterior(x, **given(model, y)).sample()  # x has no other codes
    if isinstance(model, LatentVariable) and model.classes:
        return model.prior(y).sample()
    if hasattr(model, "prior"):
        return model.prior().sample(lead)
    like = next(v for v in model.state_dict().values() if v.is_floating_point())
    return like.new_empty(*lead, 2).normal_()


def said(model, x, y, z):
    """All that a model says of events (*lead, *shape), labels and codes: tensors (*lead, ...)."""
    condition, answers = given(model, y), {}
    if isinstance(model, Tractable):
        answers["log_prob"] = model.log_prob(x, **condition)
    if isinstance(model, Energy):
        answers["energy"] = model.energy(x)
    if isinstance(model, LatentVariable):
        answers["prior"] = model.prior(**condition).log_prob(z)
        answers["posterior"] = model.posterior(x, **condition).log_prob(z)
        answers["likelihood"] = model.likelihood(z, **condition).log_prob(x)
    if isinstance(model, SemiSupervised):
        answers["classify"] = model.classify(x).logits
    if isinstance(model, models.Autoencoder | models.PCA):
        answers |= {"encode": model.encode(x), "decode": model.decode(z), "forward": model(x)}
    if isinstance(model, models.Generator):
        answers["forward"] = model(z, **given(model, y if y is None else y.expand(z.shape[:-1])))
    if isinstance(model, models.Critic):
        answers["forward"] = model(x, **condition)
    if isinstance(model, Denoiser):
        for what in ("denoise", "score", "velocity"):
            answers[what] = getattr(model, what)(x, 0.5, **condition)
    if isinstance(model, models.MaskedDiffusion):
        answers["forward"] = model(x, x > 0)
    if isinstance(model, models.ScoreNetwork):
        answers |= {"score": model.score(x, 0.5), "denoise": model.denoise(x, 0.5)}
    return answers


def everything(model, x, y):
    """What it says and what it draws, from one seed."""
    torch.manual_seed(1)
    answers = said(model, x, y, codes(model, x, y, *x.shape[: x.dim() - len(model.shape)]))
    if isinstance(model, Generative):
        answers["sample"] = draw(model, y)
    return {name: answer.detach().clone() for name, answer in answers.items()}


def the_same(a, b):
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def made(name, shape=SHAPE):
    """One of the models, not as fresh as it was built, and data for it."""
    return scattered(EVERY[name].build(shape)), *EVERY[name].data(N, shape)


# ------------------------------------------------------------------ what it is


def test_every_model_stands_in_the_table():
    """Each class of `dgm.models`, or each of its named constructors if it has some."""
    expected = set()
    for name in set(models.__all__) - NO_MODELS:
        cls = getattr(models, name)
        assert issubclass(cls, nn.Module)
        ways = {way for way, _ in inspect.getmembers(cls, inspect.ismethod)} - {"of"}
        expected |= {f"{name}.{way}" for way in ways} or {name}
    missing = expected - set(EVERY)
    assert not missing, f"tests/every_model.py: no line for {', '.join(sorted(missing))}"


@every_shape
def test_it_is_built_from_its_event_shape_alone(name, shape):
    entry = EVERY[name]
    labels = {"classes": CLASSES} if name.endswith("given y") else {}
    for model in (entry.make(shape, **labels), entry.build(shape)):
        assert model.shape == shape
        assert isinstance(model.support, Constraint)
        assert {p for p in PROTOCOLS if isinstance(model, p)} == entry.protocols
        classes, predicted = model.classes, getattr(model, "predicted_classes", 0)
        assert max(classes, predicted) == entry.sizes.get("classes", 0)
        assert (predicted > 0) == (SemiSupervised in entry.protocols)


@every_model
def test_its_support(name):
    values = torch.tensor([-1.0, 0.0, 0.3, 0.5, 1.0, 2.0])
    events = values.reshape(-1, 1, 1, 1).expand(-1, *SHAPE)
    allowed = EVERY[name].build().support.check(events).reshape(len(values), -1).all(1)
    assert torch.equal(allowed, EVERY[name].support.check(values))


# ------------------------------------------------------------------ what it does


@pytest.mark.parametrize("name", [n for n, e in EVERY.items() if Generative in e.protocols])
def test_samples(name):
    """Of the event's shape and the model's type, on the support, without a graph, by the seed."""
    model, x, y = made(name)
    drawn = seeded(draw, model, y)
    assert (drawn.shape, drawn.dtype, drawn.device) == (x.shape, x.dtype, x.device)
    assert not drawn.requires_grad
    check_data(model, drawn, y)
    assert torch.equal(seeded(draw, model, y), drawn)
    assert not torch.equal(draw(model, y), drawn)


@every_shape
def test_what_it_says_has_one_answer_for_each_example(name, shape):
    model, x, y = made(name, shape)
    z = codes(model, x, y, N)
    sizes = {"classify": (CLASSES,), "encode": (2,), "decode": shape, "forward": shape}
    sizes |= {"score": shape, "denoise": shape, "velocity": shape}
    if isinstance(model, models.Critic):
        sizes["forward"] = ()
    if isinstance(model, models.MaskedDiffusion):
        sizes["forward"] = (*shape, model.levels)
    answers = said(model, x, y, z)
    assert answers
    for what, answer in answers.items():
        assert answer.shape == (N, *sizes.get(what, ())), what
        assert answer.isfinite().all(), what
    # and the answer does not depend on the other examples
    alone = said(model, x[4:5], None if y is None else y[4:5], z[4:5])
    for what, answer in answers.items():
        torch.testing.assert_close(alone[what], answer[4:5], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name", [n for n, e in EVERY.items() if {Energy, Tractable} <= e.protocols]
)
def test_an_energy_is_minus_log_p_up_to_one_constant(name):
    model, x, _ = made(name)
    constant = model.double().energy(x.double()) + model.log_prob(x.double())
    torch.testing.assert_close(constant, constant[:1].expand(N))


@pytest.mark.parametrize("name", [n for n, e in EVERY.items() if e.leading])
def test_events_of_several_leading_dimensions(name):
    model, x, y = made(name)
    z = codes(model, x, y, N)
    flat = said(model, x, y, z)
    x, z = x.unflatten(0, (2, 3)), z.unflatten(0, (2, 3))
    folded = said(model, x, None if y is None else y.view(2, 3), z)
    for what, answer in folded.items():
        torch.testing.assert_close(answer.flatten(0, 1), flat[what], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", DECODERS)
def test_draws_lead(name):
    """What decodes takes codes (draws, N, latent)."""
    model, x, y = made(name)
    z = torch.stack([codes(model, x, y, N) for _ in range(4)])
    draws, one = said(model, x, y, z), said(model, x, y, z[2])
    by_name = {"Generator": "forward", "Autoencoder": "decode", "PCA": "decode"}
    what = by_name.get(type(model).__name__, "likelihood")
    assert draws[what].shape == (4, *one[what].shape)
    torch.testing.assert_close(draws[what][2], one[what])


@pytest.mark.parametrize("name", [n for n, e in EVERY.items() if "classes" in e.sizes])
def test_labels_say_something(name):
    """Of p(x | y) all methods but a prior that is the same for all; what predicts y is not told."""
    model, x, y = made(name)
    z = codes(model, x, y, N)
    answers, others = said(model, x, y, z), said(model, x, (y + 1) % CLASSES, z)
    flow = isinstance(model, models.Dequantised)  # whose prior is all that is told
    for what in {"prior"} if flow else answers.keys() - {"prior"}:
        told = bool(model.classes) and what != "classify"
        assert torch.equal(answers[what], others[what]) != told, what


# ------------------------------------------------------------------ how it is trained and kept


@every_model
def test_its_objective_reaches_every_parameter(name):
    model, x, y = made(name)
    value = EVERY[name].objective(model, x.requires_grad_(), y)
    assert value.shape == (N,)
    value.sum().backward()
    for which, p in [*model.named_parameters()] or [("x", x)]:
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.any(), which


@every_model
def test_a_copy_and_what_is_loaded_are_the_model_and_stay_so(name):
    (model, x, y), (other, _, _) = made(name), made(name)
    expected = everything(model, x, y)
    assert not the_same(everything(other, x, y), expected)
    other.load_state_dict(model.state_dict())
    twin = copy.deepcopy(model)
    assert the_same(everything(model, x, y), expected)
    for same in (other, twin):
        assert the_same(everything(same, x, y), expected)
    scattered(model)
    assert not the_same(everything(model, x, y), expected)
    for same in (other, twin):
        assert the_same(everything(same, x, y), expected)


@pytest.mark.parametrize("name", [n for n in EVERY if n != "PCA"])  # which has no parameters
def test_a_run_that_is_saved_goes_on_as_if_nothing_had_been(name, tmp_path):
    (model, x, y), (other, _, _) = made(name), made(name)
    step, resumed = (gradient_step(m, EVERY[name].objective) for m in (model, other))
    batch = (x,) if y is None else (x, y)
    step.check(batch)
    step(batch)
    save_checkpoint(tmp_path / "run.pt", step, History())
    expected = [step(batch)["objective"] for _ in range(2)]
    load_checkpoint(tmp_path / "run.pt", resumed)
    assert [resumed(batch)["objective"] for _ in range(2)] == expected
    assert the_same(everything(other, x, y), everything(model, x, y))


# ------------------------------------------------------------------ where it lives


@every_model
def test_forward_and_backward_on_the_meta_device(name):
    """A tensor made on the CPU inside the model would meet one on `meta` and raise."""
    model = EVERY[name].build().to("meta")
    x, y = EVERY[name].data(N, device="meta")
    EVERY[name].objective(model, x.requires_grad_(), y).sum().backward()
    assert all(p.grad is not None for p in [*model.parameters()] or [x])
    if isinstance(model, Tractable):
        assert model.log_prob(x, **given(model, y)).is_meta


@every_model
def test_it_works_where_it_is_whatever_the_default_device(name):
    """New models are made on torch's default device; old ones stay, and what they make, too."""
    model, x, y = made(name)
    expected = everything(model, x, y)
    torch.set_default_device("meta")
    assert all(v.is_meta for v in EVERY[name].build().state_dict().values())
    assert the_same(everything(model, x, y), expected)
    assert EVERY[name].objective(model, x, y).device.type == "cpu"


@every_model
def test_double_precision_throughout(name):
    model, x, y = made(name)
    single = everything(model, x, y)
    double = everything(model.double(), x.double(), y)
    assert {answer.dtype for answer in single.values()} == {torch.float32}
    assert {answer.dtype for answer in double.values()} == {torch.float64}
    assert EVERY[name].objective(model, x.double(), y).dtype == torch.float64


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@every_model
def test_agreement_between_cpu_and_gpu(name):
    model, x, y = made(name)
    inputs = x, y, codes(model, x, y, N)
    expected = said(model, *inputs)
    there = said(model.cuda(), *(None if t is None else t.cuda() for t in inputs))
    for what, answer in there.items():
        torch.testing.assert_close(answer.cpu(), expected[what], rtol=1e-3, atol=1e-3)
    if isinstance(model, Generative):
        assert draw(model, inputs[1] if y is None else y.cuda()).is_cuda
