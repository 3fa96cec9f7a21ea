"""The figures of samplers: what the page computes (under node) against the library's functions."""

import json
import math
import re

import pytest
import torch
from tests.lib.figures_in_node import answers_to
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from dgm import figures, paths, samplers, toys
from dgm.denoisers import IdealDenoiser, NoisedMixture, guided
from dgm.figures import _conditioned, _crossing, _exact, _guidance, _sampling
from dgm.figures._formats import to_base64
from dgm.models import Diffusion

PATHS = {"cosine": paths.cosine(), "linear": paths.linear(), "vp": paths.vp()}
TIMES = [0.03, 0.4, 0.97]


def shaken(model: Diffusion) -> Diffusion:
    """A network whose layers that start as zero are not, so that all of it is looked at."""
    torch.manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    model.mean.fill_(0.2), model.scale.fill_(0.4)
    return model


NETWORKS = {
    "conv, digits": Diffusion.conv((1, 8, 8), classes=10),
    "conv, mnist": Diffusion.conv((1, 28, 28), classes=10),
    "conv, odd and coloured": Diffusion.conv((3, 9, 13), width=4, path=paths.vp()),
    "mlp, plane": Diffusion.mlp((2,), width=32),
    "mlp, images": Diffusion.mlp((1, 4, 5), width=16, blocks=1, classes=3, path=paths.linear()),
    **{
        f"mlp, {kind}": Diffusion.mlp((2,), width=8, blocks=1, predict=kind, path=paths.linear())
        for kind in ("x0", "eps", "score", "velocity")
    },
}
for model in NETWORKS.values():
    shaken(model)


def events(model, n: int = 3) -> torch.Tensor:
    return torch.randn(n, *model.shape, generator=torch.Generator().manual_seed(1))


def labels(model, n: int = 3) -> torch.Tensor | None:
    return torch.arange(n) - 1 if model.classes else None  # -1 is any class


PLANE = toys.ring(modes=5, sigma=0.1, device="cpu")
LINE = MixtureSameFamily(
    Categorical(torch.tensor([0.5, 0.2, 0.3])),
    Independent(Normal(*torch.tensor([[-1.0, 0.4, 1.5], [0.5, 0.3, 0.6]])[..., None]), 1),
)
CLASSES = torch.tensor([0, 1, 1])
MIXTURES = {"plane": (PLANE, None), "line": (LINE, CLASSES)}


def spec_of(name: str) -> dict:
    density, classes = MIXTURES[name]
    spec = _exact.mixture_spec(density, (1, 2))
    return spec | ({} if classes is None else {"labels": classes.tolist()})


def exactly(name: str, path) -> NoisedMixture:
    return _exact.denoiser(spec_of(name), path)


def points(name: str, n: int = 6) -> torch.Tensor:
    d = len(spec_of(name)["means"][0])
    return 1.5 * torch.randn(n, d, generator=torch.Generator().manual_seed(2)).double()


def noise(eta: float, name: str) -> tuple[torch.Tensor, list[float]]:
    """Points, and what `samplers.ddim` will draw after seed 3."""
    torch.manual_seed(3)
    x = points(name)
    return x, torch.stack([torch.randn_like(x) for _ in range(12)]).flatten().tolist()


GRIDS = {path: paths.grid(PATHS[path], 12) for path in PATHS}
SAMPLED = [(name, path, eta) for name in MIXTURES for path in PATHS for eta in (0.0, 0.3, 1.0)]
DIGITS = torch.rand(31, 1, 5, 5, generator=torch.Generator().manual_seed(4))


def made() -> dict:
    """Figures, small."""
    digits, plain = NETWORKS["conv, digits"], NETWORKS["mlp, plane"]
    standardised = (DIGITS - DIGITS.mean()) / DIGITS.std()
    return {
        "from noise": figures.from_noise(digits, y=3, seed=5, steps=6, w=1.5),
        "from noise, eta": figures.from_noise(digits, y=3, seed=6, steps=6, eta=0.7),
        "euler": figures.euler_steps(digits, y=9, seed=7, steps=3),
        "ideal": figures.ideal_denoiser(IdealDenoiser(standardised), seed=8),
        "particles": figures.particles(PLANE, n=50, steps=10, eta=0.4, seed=9),
        "learned": figures.particles(PLANE, learned=plain, n=20, steps=6, seed=10),
        "guidance": figures.guidance(LINE, CLASSES, w=2.0),
        "crossing": figures.crossing(MixtureSameFamily(
            Categorical(torch.ones(2)), Independent(Normal(torch.tensor([[-1.0], [1.0]]), 0.2), 1)
        ), path="vp", seed=11),
        "crossing, plane": figures.crossing(PLANE, path="linear", seed=12),
    }  # fmt: skip


@pytest.fixture(scope="module")
def fig():
    return made()


def values(figure) -> dict:
    return {name: getattr(figure, name) for name in figure.trait_names(value=True)}


@pytest.fixture(scope="module")
def answers(fig) -> dict:
    """What figures.js makes of all cases, by their names."""
    cases = {}
    for name, model in NETWORKS.items():
        rounded, packed = _conditioned.rounded(model)
        network = {"layers": packed.layers, "weights": to_base64(packed.weights)}
        spec = {"network": network, "predict": model.predict, "shape": list(model.shape)}
        ys = [-1] * 3 if labels(model) is None else labels(model).tolist()
        calls = [
            {"x": x.flatten().tolist(), "t": t, "y": y}
            for t in TIMES
            for x, y in zip(events(model), ys, strict=True)
        ]
        denoise = {"run": "denoise", "kind": "networkDenoiser", "path": model.path.name}
        cases[name] = {**denoise, "spec": spec, "calls": calls}
    for name, path in [(name, path) for name in MIXTURES for path in PATHS]:
        x = points(name).flatten().tolist()
        calls = [{"x": x, "t": t, "y": -1} for t in TIMES]
        if name == "line":
            calls += [{"x": x, "t": t, "y": 1, "w": 2.0} for t in TIMES]
        exact = {"run": "denoise", "kind": "exactDenoiser", "spec": spec_of(name), "path": path}
        cases[name, path] = {**exact, "calls": calls}
    for name, path, eta in SAMPLED:
        x, drawn = noise(eta, name)
        sample = {"run": "sample", "spec": spec_of(name), "path": path, "times": GRIDS[path]}
        cases[name, path, eta] = {**sample, "x": x.flatten().tolist(), "eta": eta, "noise": drawn}
    for seed in (0, 1, 2**31):
        cases["normals", seed] = {"run": "normals", "seed": seed, "n": 1001}
    for name, path in PATHS.items():
        times = {"run": "times", "path": _sampling.path_spec(path), "steps": 7}
        cases["times", name] = times
    for name in ("from noise", "from noise, eta", "euler"):
        cases["fig", name] = {"run": "images", "spec": fig[name].spec, "values": values(fig[name])}
    cases["fig", "ideal"] = {"run": "ideal", "spec": fig["ideal"].spec, "seed": 8}
    for name, learned in (("particles", False), ("learned", False), ("learned", True)):
        ask = {"run": "particles", "learned": learned}
        cases["fig", name, learned] = {**ask, "spec": fig[name].spec, "values": values(fig[name])}
    for w in (0.0, 2.0):
        cases["guidance", w] = {"run": "guidance", "spec": fig["guidance"].spec, "w": w}
    for name in ("crossing", "crossing, plane"):
        ask = {"run": "crossing", "spec": fig[name].spec, "values": values(fig[name])}
        cases["fig", name] = ask
    return dict(zip(cases, answers_to(list(cases.values())), strict=True))


def close(found, wanted, **tolerance) -> None:
    wanted = torch.as_tensor(wanted).double().flatten()
    found = torch.as_tensor(found, dtype=torch.float64).flatten()
    torch.testing.assert_close(found, wanted, **{"rtol": 1e-7, "atol": 1e-9} | tolerance)


# ---------------------------------------------------------------- networks, truths, samplers


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_the_page_denoises_as_the_network_does(answers, name):
    """To a relative 1e-4 of the largest value: both compute in float32, in other orders."""
    model, _ = _conditioned.rounded(NETWORKS[name])
    x, y = events(model), labels(model)
    wanted = torch.cat([model.denoise(x, t, y) for t in TIMES]).flatten(1)
    assert wanted.std() > 0.01
    close(answers[name], wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_rounding_changes_a_denoiser_little(name):
    exact, (model, packed) = NETWORKS[name], _conditioned.rounded(NETWORKS[name])
    x, y = events(exact), labels(exact)
    for t in TIMES:
        wanted = exact.denoise(x, t, y)
        assert (model.denoise(x, t, y) - wanted).abs().max() < 0.05 * wanted.abs().max()
    assert packed.count == sum(p.numel() for p in exact.network.parameters())
    assert len(packed.weights) < 1.6 * packed.count + 2000  # a byte each, biases and scales 4


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", MIXTURES)
def test_the_page_knows_the_truth(answers, name, path):
    model, x = exactly(name, PATHS[path]), points(name)
    y = torch.full((len(x),), -1) if name == "line" else None
    wanted = [model.denoise(x, t, y) if name == "line" else model.denoise(x, t) for t in TIMES]
    if name == "line":
        wanted += [guided(model, 2.0).denoise(x, t, torch.ones(len(x)).long()) for t in TIMES]
    close(answers[name, path], torch.stack(wanted))


@pytest.mark.parametrize("name, path, eta", SAMPLED)
def test_the_page_samples_as_the_library_does(answers, name, path, eta):
    model, (x, _) = exactly(name, PATHS[path]), noise(eta, name)
    y = {"y": torch.full((len(x),), -1)} if name == "line" else {}
    torch.manual_seed(3)
    wanted = samplers.ddim(model, x, GRIDS[path], eta=eta, **y)
    close(answers[name, path, eta]["ddim"], wanted, rtol=1e-6)
    close(answers[name, path, eta]["heun"], samplers.heun(model, x, GRIDS[path], **y), rtol=1e-6)


@pytest.mark.parametrize("name", MIXTURES)
def test_on_the_linear_path_the_pages_steps_are_eulers(answers, name):
    model, (x, _) = exactly(name, paths.linear()), noise(0.0, name)
    y = {"y": torch.full((len(x),), -1)} if name == "line" else {}
    wanted = samplers.euler(model, x, GRIDS["linear"], **y)
    close(answers[name, "linear", 0.0]["ddim"], wanted, rtol=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2**31])
def test_python_draws_the_pages_noise(answers, seed):
    draw = _sampling.Normals(seed)
    x = torch.cat([draw(500), draw(501)])
    close(answers["normals", seed], x)
    assert abs(x.mean()) < 4 / 1001**0.5 and x.std().item() == pytest.approx(1, abs=0.09)


@pytest.mark.parametrize("name", PATHS)
def test_the_pages_times_are_the_librarys(answers, name):
    close(answers["times", name], paths.grid(PATHS[name], 7))


# ---------------------------------------------------------------- the figures


@pytest.mark.parametrize("name", ["from noise", "from noise, eta", "euler"])
def test_the_page_draws_what_python_says(answers, fig, name):
    """To 0.002 of the pixels' scale, after 6 steps in float32."""
    figure = fig[name]
    end = figure.images if "noise" in name else figure._ways()[0][-1][1]
    own = (end - figure.spec["mean"]) / figure.spec["scale"]
    assert own.std() > 0.1
    close(answers["fig", name], own, rtol=1e-3, atol=2e-3)


@torch.no_grad()
def test_drawn_images_are_those_of_the_librarys_sampler(fig):
    """Guided, from the same noise, by ddim; and by Euler's steps on the straight path."""
    figure, model = fig["from noise"], _conditioned.rounded(NETWORKS["conv, digits"])[0]
    y, x = torch.tensor([3]), _sampling.Normals(5)(1, 1, 8, 8).float()
    end = samplers.ddim(guided(model, 1.5), x, paths.grid(model.path, 6), y)
    close(figure.images, model.restored(end), rtol=1e-4, atol=1e-4)
    figure, model.path = fig["euler"], paths.linear()
    times, x = paths.grid(model.path, 3), _sampling.Normals(7)(1, 1, 8, 8).float()
    size = math.hypot(times[0], 1 - times[0])
    end = samplers.euler(model, size * x, times, torch.tensor([9]))
    close(figure._ways()[0][-1][1], model.restored(end), rtol=1e-4, atol=1e-4)
    assert NETWORKS["conv, digits"].path.name == "cosine"  # is left as it was


def test_the_stated_error_of_a_network_is_its_error(fig):
    text = " ".join(fig["from noise"].spec["details"])
    stated = float(re.search(r"by at most ([\d.e-]+),", text)[1])
    model, rounded = NETWORKS["conv, digits"], _conditioned.rounded(NETWORKS["conv, digits"])[0]
    x, y, error = _sampling.Normals(5)(1, 1, 8, 8).float(), torch.tensor([3]), 0.0
    for t, x_t, x0 in _sampling.steps(
        lambda x, t: rounded.denoise(x, t, y), model.path, x, paths.grid(model.path, 20)
    ):
        if t > 0:
            off = model.scale * (model.denoise(x_t, t, y) - x0)
            error = max(error, off.abs().max().item())
    assert error <= stated <= 2 * error


def test_the_page_has_the_ideal_denoiser(answers, fig):
    found, figure = answers["fig", "ideal"], fig["ideal"]
    x = ((DIGITS - DIGITS.mean()) / DIGITS.std()).flatten(1).double()
    low, step = x.min().item(), (x.max() - x.min()).item() / 15
    kept = low + step * ((x - low) / step).round()
    assert (kept - x).abs().max() < 0.51 * step
    ideal = IdealDenoiser(kept)
    for stop in (found[0], found[20], found[40], found[64]):
        x_t, t = torch.tensor([stop["x"]], dtype=torch.float64), stop["t"]
        close(stop["weights"], ideal.weights(x_t, t), atol=1e-5)  # x was rounded to float32
        close(stop["x0"], ideal.denoise(x_t, t), atol=1e-4)
    for log_snr, k in ((-8.0, 0), (2.0, 40), (8.0, 64)):
        figure.log_snr = log_snr
        weights = torch.tensor(found[k]["weights"])
        wanted = {"heaviest": weights.max().item(), "effective": 1 / weights.square().sum().item()}
        assert figure.numbers == pytest.approx(wanted, rel=1e-4)
    assert figure.numbers["heaviest"] > 0.99  # at the end it is one image
    end = torch.tensor(found[64]["x"])
    assert (end - kept).abs().max(1).values.min() < 0.2


def test_more_images_than_fit_are_fewer():
    x = torch.rand(3000, 1, 8, 8)
    figure = figures.ideal_denoiser(IdealDenoiser(x), limit=40_000)
    kept = figure.spec["images"]["count"]
    assert 500 < kept < 3000 and f"{kept:,} of 3,000 images" in figure.spec["details"][0]


def test_particles_are_the_librarys(answers, fig):
    """Those of both fields, in the network's space; the energies are Python's."""
    figure = fig["particles"]
    found = answers["fig", "particles", False]
    assert found["energy"] == pytest.approx(figure.numbers["energy"], rel=1e-6)
    figure, net = fig["learned"], NETWORKS["mlp, plane"]
    exact = answers["fig", "learned", False]
    assert exact["energy"] == pytest.approx(figure.numbers["energy"], rel=1e-6)
    theirs = answers["fig", "learned", True]
    assert theirs["energy"] == pytest.approx(figure.numbers["learned"], rel=0.01)
    x, times = _sampling.Normals(10)(20, 2), paths.grid(net.path, 6)
    rounded, _ = _conditioned.rounded(net)
    close(theirs["x"], samplers.ddim(rounded, x.float(), times), rtol=1e-3, atol=1e-3)
    parts = Independent(Normal((PLANE.component_distribution.mean - 0.2) / 0.4, 0.1 / 0.4), 1)
    own = NoisedMixture(MixtureSameFamily(PLANE.mixture_distribution, parts))
    close(exact["x"], samplers.ddim(own, x.float(), times), rtol=1e-3, atol=1e-3)


def test_the_exact_energy_is_that_of_draws(fig):
    """In the data's units, also where the picture's space is the network's."""
    torch.manual_seed(0)
    energy = -PLANE.log_prob(PLANE.sample((20_000,)))
    error = 4 * energy.std().item() / len(energy) ** 0.5
    for name in ("particles", "learned"):
        assert fig[name].numbers["exact"] == pytest.approx(energy.mean().item(), abs=error)


@pytest.mark.parametrize("w", [0.0, 2.0])
def test_the_page_and_python_agree_on_guidance(answers, fig, w):
    found, figure = answers["guidance", w], fig["guidance"]
    _, ode, tilted = _guidance.masses(figure.spec, w)
    close(found["ode"], ode, atol=1e-8)
    close(found["tilted"], tilted, atol=1e-9)
    assert _guidance.numbers(figure.spec, w) == pytest.approx(
        {name: found[name] for name in ("tv", "mean_ode", "mean_tilted")}, abs=1e-7
    )


def test_without_guidance_both_are_the_class_and_with_it_the_sampler_draws_the_density(fig):
    assert _guidance.numbers(fig["guidance"].spec, 0.0)["tv"] < 0.01
    spec = figures.guidance(w=3.0).spec
    found = _guidance.numbers(spec, 3.0)
    density = _exact.mixture(spec)
    model = NoisedMixture(density, labels=torch.tensor([0, 1]))
    torch.manual_seed(0)
    x = torch.randn(4000, 1, dtype=torch.float64)
    y, times = torch.ones(len(x)).long(), paths.grid(model.path, 50)
    x = samplers.heun(guided(model, 3.0), x, times, y)[:, 0]
    error = 4 * x.std().item() / len(x) ** 0.5
    assert found["mean_ode"] == pytest.approx(x.mean().item(), abs=error)
    z = torch.linspace(-6, 8, 20_001, dtype=torch.float64)  # the tilted one, by trapezoids
    log_p = Normal(1.0, 0.6).log_prob(z)
    log_p = 4 * log_p - 3 * torch.logaddexp(log_p, Normal(-1.0, 0.6).log_prob(z))
    p = log_p.exp() / torch.trapezoid(log_p.exp(), z)
    assert found["mean_tilted"] == pytest.approx(torch.trapezoid(z * p, z).item(), abs=1e-3)
    edges = torch.linspace(-1, 5, 61, dtype=torch.float64)  # a histogram, which has a floor
    share = torch.histogram(x, edges)[0] / len(x)
    middle = (edges[1:] + edges[:-1]) / 2
    there = torch.stack([p[(z - m).abs().argmin()] for m in middle]) * 0.1
    assert found["tv"] == pytest.approx(0.5 * (share - there).abs().sum().item(), abs=0.06)


@pytest.mark.parametrize("name", ["crossing", "crossing, plane"])
def test_the_page_and_python_agree_on_crossings(answers, fig, name):
    found, figure = answers["fig", name], fig[name]
    times, way = _crossing.trajectories(figure.spec, figure.path, figure.seed)
    close(found["end"], way[-1], rtol=1e-5, atol=1e-6)
    close(found["pairs"], _crossing.paths(figure.spec, figure.path, figure.seed, times), atol=1e-6)
    assert found["straightness"] == pytest.approx(figure.numbers["straightness"], rel=1e-6)


@pytest.mark.parametrize("variance", [1.0, 0.25])
def test_the_straightness_of_a_gaussian_is_known(variance):
    r"""x_t = z sqrt((1 - t)^2 v + t^2) on the linear path: S is an integral over t alone."""
    t = torch.linspace(0, 1, 2001, dtype=torch.float64)
    size = ((1 - t) ** 2 * variance + t**2).sqrt()
    slope = (t - (1 - t) * variance) / size
    wanted = torch.trapezoid((slope - (1 - variance**0.5)) ** 2, t).item()
    parts = Independent(Normal(torch.zeros(1, 1), variance**0.5), 1)
    density = MixtureSameFamily(Categorical(torch.ones(1)), parts)
    figure = figures.crossing(density, path="linear")
    eps = _crossing.noises(figure.spec, 0)
    wanted *= eps.square().mean().item()  # of these noises
    assert figure.numbers["straightness"] == pytest.approx(wanted, rel=0.02)
    figure.path = "cosine"
    if variance == 1:
        assert figure.numbers["straightness"] < 1e-3


def test_trajectories_on_the_line_keep_their_order_and_paths_do_not(fig):
    figure = fig["crossing"]
    times, way = _crossing.trajectories(figure.spec, "linear", seed=0)
    first = way[0, :, 0].argsort()
    assert (way[:, first, 0].diff(dim=1) > -1e-9).all()
    pairs = _crossing.paths(figure.spec, "linear", 0, times)[..., 0]
    assert (pairs[:, pairs[0].argsort()].diff(dim=1) < 0).any()


def test_sliders_hold_their_values(fig):
    drawing, euler, moving = fig["from noise"], fig["euler"], fig["particles"]
    before = values(drawing), values(euler), values(moving)
    drawing.y, drawing.steps, drawing.w, drawing.eta, euler.steps = 99, 1000, 99.0, -1.0, 0
    moving.t, moving.steps = -1.0, 1
    assert (drawing.y, drawing.steps, drawing.w, drawing.eta) == (9, 100, 8.0, 0.0)
    assert (euler.steps, moving.t, moving.steps) == (1, 0.0, 5)
    fig["ideal"].log_snr, fig["guidance"].w = 100.0, 100.0
    assert (fig["ideal"].log_snr, fig["guidance"].w) == (8.0, 5.0)
    for figure, name in ((drawing, "w"), (moving, "t"), (fig["guidance"], "w")):
        with pytest.raises(Exception, match=f"{name}: got nan"):
            setattr(figure, name, float("nan"))
    with pytest.raises(Exception, match="path: got 'bent'"):
        fig["crossing"].path = "bent"
    for figure, old in zip((drawing, euler, moving), before, strict=True):
        for name, value in old.items():
            setattr(figure, name, value)
    fig["guidance"].w = 2.0


def test_figures_have_two_faces_and_stay_small(fig):
    for name, figure in fig.items():
        html = figure.html()
        picture, alt = re.search(r'base64,([^"]+)" alt="([^"]+)"', html).groups()
        assert len(alt) > 60 and 1000 < len(picture) < 80_000, name
        assert html.count("</script>") == 2
        assert len(repr(figure)) < 200


def test_a_network_of_mnist_fits_into_a_figure():
    """243,028 weights in half a megabyte, in base64."""
    spec = figures.from_noise(NETWORKS["conv, mnist"]).spec
    assert 4 / 3 * 243_028 < len(json.dumps(spec)) < 500_000


WRONG = {
    "model: got Normal": lambda: figures.from_noise(Normal(0.0, 1.0)),
    "network Linear": lambda: figures.from_noise(Diffusion(torch.nn.Linear(2, 2), (2,))),
    "shape: got .2,.": lambda: figures.from_noise(Diffusion.mlp((2,))),
    "model: got one of 2 channels": lambda: figures.from_noise(Diffusion.mlp((2, 4, 4))),
    "path: got 'vp'": lambda: figures.from_noise(
        Diffusion.conv((1, 8, 8), path=paths.vp(beta_max=30.0))
    ),
    "y: got 10": lambda: figures.from_noise(NETWORKS["conv, digits"], y=10),
    "y: got 1, ": lambda: figures.euler_steps(Diffusion.conv((1, 8, 8)), y=1),
    "steps: got 65": lambda: figures.euler_steps(NETWORKS["conv, digits"], steps=65),
    "steps: got 0": lambda: figures.from_noise(NETWORKS["conv, digits"], steps=0),
    "seed: got -1": lambda: figures.from_noise(NETWORKS["conv, digits"], seed=-1),
    "eta: got 2": lambda: figures.from_noise(NETWORKS["conv, digits"], eta=2),
    "w: got 1": lambda: figures.from_noise(Diffusion.conv((1, 8, 8)), w=1.0),
    "classes: got 2 names": lambda: figures.from_noise(NETWORKS["conv, digits"], classes="ab"),
    "limit: the figure's data take": lambda: figures.from_noise(
        NETWORKS["conv, digits"], limit=50_000
    ),
    "denoiser: got NoisedMixture": lambda: figures.ideal_denoiser(NoisedMixture(PLANE)),
    "shape: got .31": lambda: figures.ideal_denoiser(IdealDenoiser(DIGITS), shape=(31, 1, 1)),
    "log_snr: got 9": lambda: figures.ideal_denoiser(IdealDenoiser(DIGITS), log_snr=9.0),
    "limit: got 6000": lambda: figures.ideal_denoiser(IdealDenoiser(DIGITS), limit=6000),
    "density: got one of events .1,.": lambda: figures.particles(LINE),
    "learned: got a model of .1, 4, 5.": lambda: figures.particles(learned=NETWORKS["mlp, images"]),
    "t: got 2": lambda: figures.particles(t=2.0),
    "steps: got 101": lambda: figures.particles(steps=101),
    "n: got 0": lambda: figures.particles(n=0),
    "labels: got shape .2,., expected .3,.": lambda: figures.guidance(LINE, CLASSES[:2]),
    "y: got 2": lambda: figures.guidance(LINE, CLASSES, y=2),
    "w: got 9": lambda: figures.guidance(w=9.0),
    "path: got 'bent'": lambda: figures.crossing(path="bent"),
    "t: got -1": lambda: figures.crossing(t=-1.0),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_use_says_what_is_expected(message):
    with pytest.raises(ValueError, match=message):
        WRONG[message]()
