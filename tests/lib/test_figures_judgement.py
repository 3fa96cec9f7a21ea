"""Balls, ranks and the coder: what the page computes (under node) against the library."""

import itertools
import math
import re
from fractions import Fraction

import pytest
import torch
from scipy.stats import spearmanr
from tests.lib.figures_in_node import answers_to

from dgm import coding, evaluate, figures, heads
from dgm.figures import _coder, _ranks
from dgm.models import MADE, VAE, PixelCNN


def shaken(model: torch.nn.Module) -> torch.nn.Module:
    """A model that says different things of different pixels."""
    torch.manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.3 * torch.randn_like(p)
    return model


def image(levels: int = 2, seed: int = 1) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, levels, (1, 8, 8), generator=draw) / (levels - 1)


MODELS = {
    "binary": (shaken(MADE((1, 8, 8), hidden=(30,))), image(), {}),
    "17 levels": (shaken(MADE((1, 8, 8), levels=17, hidden=(30,))), image(17), {}),
    "labelled, in another order": (
        shaken(MADE((1, 8, 8), hidden=(30,), classes=3, order=list(reversed(range(64))))),
        image(),
        {"y": 2},
    ),
    "convolutions": (shaken(PixelCNN((1, 8, 8), width=4, layers=2)), image(), {}),
    "bits": (shaken(VAE.mlp((1, 8, 8), latent=6, posterior=heads.Bernoulli)), image(), {}),
    "normal codes": (shaken(VAE.mlp((1, 8, 8), latent=3)), image(), {"seed": 4}),
}
WITH_CODES = ("bits", "normal codes")


def cloud(n: int, seed: int) -> torch.Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


CLOUDS = {
    "apart": (cloud(30, 0), cloud(25, 1) + 2, 4),
    "together": (cloud(120, 2), cloud(90, 3), 5),
    "copies": (cloud(40, 4), cloud(40, 4), 3),  # samples lie on the balls' edges
    "on a lattice": (cloud(60, 5).round(), cloud(50, 6).round(), 2),  # and so do many here
}

TABLE = {
    "A": {"bits": (1.90, 0.01), "distance": (5.1, 0.5), "coverage": (0.64, 0.02)},
    "B": {"bits": (2.06, 0.01), "distance": (3.1, 0.5), "coverage": (0.74, 0.02)},
    "C": {"bits": (2.12, 0.01), "distance": (2.9, 0.2), "coverage": (0.74, 0.02)},
    "D": {"bits": (2.36, 0.01), "distance": (13.6, 0.4), "coverage": (0.45, 0.0)},
    "E": {"bits": None, "distance": (1.4, 0.3), "coverage": (0.89, 0.02)},
    "F": {"bits": (math.nan, 0.1), "distance": (20.0, 0.3)},
}
GOOD = {"bits": "small", "distance": "small", "coverage": "large"}
COLUMNS = list(itertools.permutations(GOOD, 2)) + [("bits", "bits")]


@pytest.fixture(scope="module")
def fig():
    coders = {name: figures.coder(m, x, **more) for name, (m, x, more) in MODELS.items()}
    return {"balls": figures.balls(), "ranks": figures.ranks(TABLE, GOOD), **coders}


@pytest.fixture(scope="module")
def answers(fig):
    cases = {}
    for name, (real, fake, k) in CLOUDS.items():
        cases[name] = {"run": "prdc", "real": real.tolist(), "fake": fake.tolist(), "k": k}
    spec = fig["balls"].spec
    for out in (0.0, 5.0):
        points = {"real": [*spec["real"], [out, 0.0]], "fake": spec["fake"]}
        cases["outlier", out] = {"run": "prdc", **points, "k": 5}
    for left, right in COLUMNS:
        ask = {"run": "ranks", "spec": fig["ranks"].spec, "left": left, "right": right}
        cases[left, right] = ask
    for name in MODELS:
        for way in _coder.WAYS[name in WITH_CODES :]:
            cases[name, way] = {"run": "coder", "spec": fig[name].spec, "way": way}
    return dict(zip(cases, answers_to(list(cases.values())), strict=True))


# ---------------------------------------------------------------- balls


def values(found: evaluate.PRDC) -> dict[str, float]:
    names = ("precision", "recall", "density", "coverage")
    return {n: getattr(found, n)[0] for n in names} | {"expected": found.expected_coverage}


@pytest.mark.parametrize("name", CLOUDS)
def test_the_page_counts_as_prdc_does(answers, name):
    real, fake, k = CLOUDS[name]
    assert answers[name] == pytest.approx(values(evaluate.prdc(real, fake, k)), abs=1e-12)


@pytest.mark.parametrize("out", [0.0, 5.0])
def test_numbers_of_balls_are_those_of_the_page_and_draw_nothing(answers, fig, out):
    figure = fig["balls"]
    figure.outlier, before = [out, 0.0], torch.get_rng_state()
    assert figure.numbers == pytest.approx(answers["outlier", out], abs=1e-12)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_outlier_lifts_precision_to_one_and_leaves_coverage(fig):
    figure, found = fig["balls"], []
    for figure.outlier in ([0.0, 0.0], [5.0, 0.0]):
        found.append(figure.numbers)
    near, far = found
    assert near["precision"] < 0.1 and far["precision"] == 1
    assert abs(far["coverage"] - near["coverage"]) < 1.01 / 101  # it is one of 101
    assert far["density"] - near["density"] == pytest.approx(1 / 5, abs=0.02)  # one ball of five
    assert far["recall"] == pytest.approx(near["recall"], abs=1.01 / 101)


def test_given_points_are_kept_to_four_digits_and_more():
    real, fake = 1e-3 * cloud(50, 0) + 7, 1e-3 * cloud(60, 1) + 7
    figure = figures.balls(real, fake, k=3, outlier=(7.0, 7.0), around="real")
    kept = torch.tensor(figure.spec["real"], dtype=torch.float64)
    assert (kept - real).abs().max() < 1e-4 * figure.spec["side"]
    both = torch.cat([kept, torch.tensor([figure.outlier], dtype=torch.float64)])
    wanted = evaluate.prdc(both, torch.tensor(figure.spec["fake"], dtype=torch.float64), 3)
    assert figure.numbers == pytest.approx(values(wanted))
    figure.outlier, figure.k = [100.0, 7.0], 1000
    low, side = figure.spec["low"], figure.spec["side"]
    assert figure.outlier == [low[0] + side, 7.0] and figure.k == figure.spec["most"] == 20


# ---------------------------------------------------------------- ranks


def measured(family: str, measure: str) -> bool:
    pair = TABLE[family].get(measure)
    return pair is not None and not math.isnan(pair[0])


@pytest.mark.parametrize("left, right", COLUMNS)
def test_the_page_and_python_rank_alike(answers, fig, left, right):
    """Against each other, and against all pairs looked at one by one."""
    figure, found = fig["ranks"], answers[left, right]
    figure.left, figure.right = left, right
    wanted = figure.numbers
    assert {n: found[n] for n in wanted} == pytest.approx(wanted)
    known = [f for f in TABLE if all(measured(f, m) for m in (left, right))]
    a, b = ([TABLE[f][m][0] * (-1) ** (GOOD[m] == "large") for f in known] for m in (left, right))
    assert wanted["families"] == len(known) and found["pairs"] == math.comb(len(known), 2)
    assert wanted["spearman"] == pytest.approx(spearmanr(a, b).statistic)
    pairs = itertools.combinations(range(len(a)), 2)
    crossed = [(p, q) for p, q in pairs if (a[p] - a[q]) * (b[p] - b[q]) < 0]
    assert wanted["crossings"] == len(crossed)
    shown = _ranks.both(figure.spec, left, right)
    lines = {figure.spec["families"][f[0]]: _ranks.style(shown, i) for i, f in enumerate(shown)}
    assert found["lines"] == lines
    for order, scores in zip(found["orders"], (a, b), strict=True):
        placed = [scores[known.index(family)] for family in order]
        assert placed == sorted(placed)


def test_a_crossing_is_sure_beyond_two_errors_of_both_measures(fig):
    """A and B cross by 0.16 ± 0.014 bits, and by 2 ± 0.71 of the distance, or 2 ± 1.1."""
    figure = fig["ranks"]
    figure.left, figure.right = "bits", "distance"
    one, two, three, *_ = _ranks.both(figure.spec, "bits", "distance")
    assert [_ranks.crossing(one, other) for other in (two, three)] == ["sure", "sure"]
    assert _ranks.crossing(two, three) == "unsure"  # 0.2 ± 0.54
    wide = (*two[:2], [two[2][0], 1.0])
    assert _ranks.crossing(one, wide) == "unsure" and _ranks.crossing(two, two) == "none"
    assert figure.numbers["sure"] == 2 and figure.numbers["crossings"] == 3


def test_equal_values_cross_nothing_and_few_families_have_no_correlation(fig):
    figure = fig["ranks"]
    figure.left, figure.right = "coverage", "distance"  # B and C are equally good
    shown = _ranks.both(figure.spec, "coverage", "distance")
    assert _ranks.crossing(shown[1], shown[2]) == "none"
    pair = figures.ranks({f: TABLE[f] for f in "AB"}, GOOD)
    assert math.isnan(pair.numbers["spearman"]) and "nan" in pair.still()[1]


# ---------------------------------------------------------------- the coder


@pytest.mark.parametrize("name", MODELS)
def test_the_page_computes_with_the_same_integers(answers, fig, name):
    spec = fig[name].spec
    for way in _coder.WAYS[name in WITH_CODES :]:
        found = answers[name, way]
        states = _coder.intervals(spec) if way == "interval" else _coder.stacks(spec)
        if way == "interval":
            states = [[*map(str, numbers), out] for *numbers, out in states]
        else:
            states = list(map(str, states))
        assert found["states"] == states
        assert found["ideal"] == pytest.approx(_coder.ideal(spec, way), abs=1e-9)
        assert len(states) == _coder.last_step(spec, way) + 1


@pytest.mark.parametrize("name", MODELS)
def test_the_stack_is_the_librarys(fig, name):
    (model, x, more), figure = MODELS[name], fig[name]
    y = torch.tensor([more["y"]]) if "y" in more else None
    before, after = _coder.stacks(figure.spec)[0], _coder.stacks(figure.spec)[-1]
    encode = coding.encode_bits_back if name in WITH_CODES else coding.encode
    assert after == encode(model, x[None], y=y, state=before)
    assert figure.numbers["stack"] == after.bit_length() - before.bit_length()
    assert figure.numbers["stack"] == pytest.approx(figure.numbers["bits"], abs=1.01)
    decode = coding.decode_bits_back if name in WITH_CODES else coding.decode
    left, decoded = decode(model, after, 1, y=y)
    assert left == before and torch.allclose(decoded[0], x)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in WITH_CODES])
def test_the_interval_is_a_product_of_fractions_and_its_code_lies_in_it(fig, name):
    spec, low, width = fig[name].spec, Fraction(0), Fraction(1)
    *states, (_, _, _, code) = _coder.intervals(spec)
    for k, (a, w, scale, out) in enumerate(states):
        if k:
            *_, c, f = spec["steps"][k - 1]
            low, width = low + width * Fraction(c, 2**16), width * Fraction(f, 2**16)
        prefix = Fraction(int(out or "0", 2), 2 ** len(out))
        assert prefix + Fraction(a, 2 ** (scale + len(out))) == low
        assert Fraction(w, 2 ** (scale + len(out))) == width
        half = prefix + Fraction(1, 2 ** (len(out) + 1))
        assert low < half < low + width  # else another digit would be out
        assert code.startswith(out)
    number = Fraction(int(code, 2), 2 ** len(code))
    assert low <= number and number + Fraction(1, 2 ** len(code)) <= low + width
    found = fig[name].numbers
    assert found["bits"] == pytest.approx(-math.log2(width)) and found["interval"] == len(code)
    assert found["bits"] <= len(code) < found["bits"] + 2


@pytest.mark.parametrize("name", [name for name in MODELS if name not in WITH_CODES])
@torch.no_grad()
def test_bits_are_those_of_the_model(fig, name):
    (model, x, more), found = MODELS[name], fig[name].numbers
    labels = (torch.tensor([more["y"]]),) if "y" in more else ()
    exact = -model.log_prob(x[None], *labels).item() / math.log(2)
    assert found["exact"] == pytest.approx(exact, rel=1e-4)
    rounding = 64 * math.log2(2**16 / (2**16 - model.levels))
    assert found["bits"] - found["exact"] < rounding  # what `frequencies` promises
    # a symbol that hardly ever comes has a frequency of 1, and costs less than it should
    assert found["bits"] == pytest.approx(found["exact"], rel=0.01 if model.levels > 2 else 1e-4)
    order = [place for _, place, *_ in fig[name].spec["steps"]]
    assert order == model.order.tolist()


def test_bits_come_back(fig):
    """The code is drawn with bits of the stack, and costs less in the end than its own bits."""
    spec = fig["bits"].spec
    wanted, states = _coder.ideal(spec, "stack"), _coder.stacks(spec)
    taken = wanted[6]
    assert taken < 0 and min(wanted) == taken and states[6] < states[0]
    assert wanted[-1] - wanted[-1 - 6] == pytest.approx(6, abs=1e-3)  # six fair coins
    (model, x, _), z = MODELS["bits"], torch.tensor([[float(s[2]) for s in spec["steps"][:6]]])
    with torch.no_grad():
        nats = model.likelihood(z).log_prob(x) + model.prior().log_prob(z)
        nats = nats - model.posterior(x[None]).log_prob(z)
    assert wanted[-1] == pytest.approx(-nats.item() / math.log(2), abs=0.01)


# ---------------------------------------------------------------- all of them


def test_figures_have_two_faces_and_stay_small(fig):
    for name, figure in fig.items():
        html = figure.html()
        picture, alt = re.search(r'base64,([^"]+)" alt="([^"]+)"', html).groups()
        assert len(alt) > 60 and 1000 < len(picture) < 80_000, name
        data = len(html) - len(figures._widgets.JS) - len(figures._widgets.CSS)
        assert html.count("</script>") == 2 and data < 60_000, (name, data)
        assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
        assert len(repr(figure)) < 200


def test_choices_and_steps_are_held(fig):
    fig["binary"].step = 1000
    assert fig["binary"].step == 65 and fig["binary"].way == "interval"
    fig["binary"].way, fig["binary"].step = "stack", 3
    assert "a stack" in fig["binary"].still()[1]
    wrong = [("binary", "way", "heap"), ("bits", "way", "interval"), ("ranks", "left", "beauty")]
    wrong += [("balls", "around", "me")]
    for name, trait, value in wrong:
        with pytest.raises(Exception, match=f"{trait}: got '{value}', expected one of"):
            setattr(fig[name], trait, value)
    with pytest.raises(Exception, match="outlier: got .nan"):
        fig["balls"].outlier = [math.nan, 0.0]


BINARY, GREY = MODELS["binary"][0], MODELS["17 levels"][0]
WRONG = {
    "real: got shape .9, 3.": lambda: figures.balls(torch.zeros(9, 3)),
    "fake: got shape .301, 2.": lambda: figures.balls(fake=torch.randn(301, 2)),
    "real: got shape .3, 2.": lambda: figures.balls(torch.randn(3, 2)),
    "real: .*finite": lambda: figures.balls(torch.full((9, 2), torch.nan)),
    "k: got 21, expected 1 to 20": lambda: figures.balls(k=21),
    "k: got 2, expected 1 to 1": lambda: figures.balls(cloud(4, 0), cloud(4, 1), k=2),
    "k: got 0": lambda: figures.balls(k=0),
    "outlier: got": lambda: figures.balls(outlier=(1.0, math.inf)),
    "around: got 'me'": lambda: figures.balls(around="me"),
    "good: got .*two measures": lambda: figures.ranks(TABLE, {"bits": "small"}),
    "good: got .*'medium'": lambda: figures.ranks(TABLE, {"bits": "medium", "distance": "small"}),
    "table: got 1 families": lambda: figures.ranks({"A": TABLE["A"]}, GOOD),
    "table: got 1.9 for bits of A": lambda: figures.ranks(TABLE | {"A": {"bits": 1.9}}, GOOD),
    "table: got 1.0 ± -1.0 for bits of A": lambda: figures.ranks(
        TABLE | {"A": {"bits": (1, -1)}}, GOOD
    ),
    "table: got inf": lambda: figures.ranks(TABLE | {"A": {"bits": (math.inf, 1)}}, GOOD),
    "left: got 'beauty'": lambda: figures.ranks(TABLE, GOOD, left="beauty"),
    "model: got Linear": lambda: figures.coder(torch.nn.Linear(2, 2), image()),
    "model: got one of events .3, 4, 4.": lambda: figures.coder(MADE((3, 4, 4)), image()),
    "x: got shape": lambda: figures.coder(BINARY, torch.zeros(1, 7, 7)),
    "x: got 2 images": lambda: figures.coder(BINARY, torch.zeros(2, 1, 8, 8)),
    "x: ": lambda: figures.coder(BINARY, torch.full((1, 8, 8), 0.3)),
    "way: got 'heap'": lambda: figures.coder(BINARY, image(), way="heap"),
    "way: got 'interval', expected one of stack": lambda: figures.coder(
        MODELS["bits"][0], image(), way="interval"
    ),
    "step: got 66, expected at most 65": lambda: figures.coder(BINARY, image(), step=66),
    "seed: got -1": lambda: figures.coder(BINARY, image(), seed=-1),
    "y: ": lambda: figures.coder(MODELS["labelled, in another order"][0], image()),
    "limit: the figure's data take": lambda: figures.coder(GREY, image(17), limit=500),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_use_says_what_is_expected(message):
    with pytest.raises(ValueError, match=message):
        WRONG[message]()
