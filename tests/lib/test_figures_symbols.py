"""The figures of symbols: what the page computes (under node) against the library's functions."""

import math
import re
from itertools import permutations, product

import pytest
import torch
from tests.lib.figures_in_node import answers_to

from dgm import figures
from dgm.figures import _masked, _unmasking
from dgm.models import MADE, VQVAE, Codebook, MaskedDiffusion

RULES = ("random", "entropy", "value")


def shaken(model):
    """A network that is sure of some of its answers, the same whatever was drawn before."""
    torch.manual_seed(0)
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.reset_parameters()
    with torch.no_grad():
        for p in model.parameters():
            p += 0.3 * torch.randn_like(p)
    return model


MASKED = shaken(MaskedDiffusion.mlp((1, 8, 8), hidden=(30, 20)))
ODD = shaken(MaskedDiffusion.mlp((3, 4, 7), hidden=25))  # 84 pixels: at least two at a time
TABLE = (1.5 * torch.randn(16, generator=torch.Generator().manual_seed(3))).double().softmax(0)
IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(4)).round()


def codes_of_two() -> VQVAE:
    torch.manual_seed(1)
    model = VQVAE.mlp((1, 8, 8), symbols=2, quantiser=Codebook(5), hidden=(20,))
    with torch.no_grad():
        model.quantiser.vectors.copy_(torch.randn(5, 4))
        for p in model.decoder.parameters():
            p *= 3
    return model.with_prior(shaken(MADE((2,), levels=5, hidden=(10,))))


VQ = codes_of_two()
DIGITS = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(5))
POINTS = {
    (2, 16): (18.8, 5.2, 23.6, 22.9),
    (1, 16): (21.2, 2.7, 23.7, 23.5),
    "8": (11.7, 19.0, 28.1, 23.3, True),
}
GELUS = MaskedDiffusion(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.GELU()), (1, 8, 8))
THREE_LEVELS = MaskedDiffusion.mlp((1, 8, 8), levels=3)
SETTINGS = [(rule, size) for rule in RULES for size in (1, 8, 64)]


def made() -> dict:
    """Figures, small."""
    rebuilt = {name: torch.full_like(IMAGES, 0.25 * k) for k, name in enumerate(POINTS)}
    return {
        "unmasking": figures.unmasking(MASKED, rule="value", at_once=8, seed=3, table=TABLE),
        "odd": figures.unmasking(ODD),
        "completing": figures.completing(MASKED, IMAGES, hide="two of three", seed=2),
        "codebook": figures.codebook(VQ, DIGITS),
        "rate": figures.rate(POINTS, originals=IMAGES, reconstructions=rebuilt),
    }


@pytest.fixture(scope="module")
def fig():
    return made()


@pytest.fixture(scope="module")
def answers(fig) -> dict:
    """What figures.js makes of all cases, by their names."""
    spec, cases = fig["unmasking"].spec, {}
    for rule, size in SETTINGS:
        values, start = {"rule": rule, "at_once": size, "seed": 5}, [[-1] * 64] * 12
        cases[rule, size] = {"run": "unmasking", "spec": spec, "values": values, "start": start}
    values = {"rule": "entropy", "at_once": 2, "seed": 0}
    odd = {"run": "unmasking", "spec": fig["odd"].spec, "values": values}
    cases["odd"] = {**odd, "start": [[-1] * 84] * 12}
    figure = fig["completing"]
    values = {"rule": "random", "at_once": 1, "seed": 2}
    completing = {"run": "unmasking", "spec": figure.spec, "values": values}
    cases["completing"] = {**completing, "start": [figure.state] * 6}
    for name in ("decoded", "examples"):
        cases[name] = {"run": "levels", "images": fig["codebook"].spec[name]}
    return dict(zip(cases, answers_to(list(cases.values())), strict=True))


# ---------------------------------------------------------------- hidden pixels


def test_the_page_knows_what_the_network_says(answers):
    """Of events half known, to 1e-4 of the rounded network's probabilities."""
    rounded, _ = _masked.rounded(MASKED)
    for case in (("random", 1), ("value", 8)):
        x, p = (torch.tensor(answers[case][name]) for name in ("x", "p"))
        event = x.view(-1, 1, 8, 8)
        assert 0.4 < (event < 0).float().mean() < 0.6
        wanted = rounded(event.clamp(min=0).float(), event >= 0).softmax(-1)[..., 1].flatten(1)
        torch.testing.assert_close(p.float(), wanted, atol=1e-4, rtol=0)
        assert wanted.std() > 0.1


@pytest.mark.parametrize("rule, size", SETTINGS)
def test_the_page_draws_what_python_says(answers, fig, rule, size):
    figure, found = fig["unmasking"], answers[rule, size]
    before = figure.rule, figure.at_once, figure.seed
    figure.rule, figure.at_once, figure.seed = rule, size, 5
    wanted = figure.images
    figure.rule, figure.at_once, figure.seed = before
    assert wanted.shape == (12, 1, 8, 8) and set(wanted.unique().tolist()) == {0, 1}
    assert found["steps"] == 64 // size
    assert torch.equal(torch.tensor(found["end"]), wanted.flatten(1).long())


def test_channels_and_completions_too(answers, fig):
    rule = fig["odd"].rule
    fig["odd"].rule = "entropy"
    assert torch.equal(torch.tensor(answers["odd"]["end"]), fig["odd"].images.flatten(1).long())
    fig["odd"].rule = rule
    figure, end = fig["completing"], torch.tensor(answers["completing"]["end"])
    assert torch.equal(end, figure.images.flatten(1).long())
    state = torch.tensor(figure.state)
    assert (end[:, state >= 0] == state[state >= 0]).all()  # what was known stays
    assert torch.equal(state[state >= 0], IMAGES[0].flatten().long()[state >= 0])
    assert figure.numbers["hidden"] == (state < 0).sum() == answers["completing"]["steps"]
    assert len(end.unique(dim=0)) > 1


def test_python_draws_as_the_library_does():
    """Means of pixels and of products of neighbours, to 4.5 standard errors of 4000 draws each."""
    model, n = shaken(MaskedDiffusion.mlp((1, 2, 4), hidden=8)), 4000
    for rule in ("random", "entropy"):
        torch.manual_seed(1)
        library = model.sample(n, steps=4, choose=rule).flatten(1)
        start = torch.full((n, 8), -1)
        odds = lambda x: _masked.log_odds(model, x)  # noqa: E731
        ours = list(_masked.way(odds, start, rule, 2, seed=1))[-1][0].float()
        both = [torch.cat([x, x[:, 1:] * x[:, :-1]], 1) for x in (library, ours)]
        error = (2 * both[0].var(0) / n).sqrt().clamp(min=1e-3)
        assert ((both[0].mean(0) - both[1].mean(0)).abs() < 4.5 * error).all()


def exact_odds(x):
    """Those of the table's conditionals, (n, 4)."""
    cells = torch.tensor(list(product((0, 1), repeat=4)))
    fits = ((x[:, None] < 0) | (x[:, None] == cells)).all(-1) * TABLE  # (n, 16)
    one = fits @ cells.double() / fits.sum(1, keepdim=True)
    return one.clamp(1e-12, 1 - 1e-12).logit()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_outcomes_are_those_of_draws(rule, size):
    """All that can happen, against 40,000 draws of the rule that the page has."""
    n = 40_000
    wanted = _masked.outcomes(tuple(TABLE.tolist()), rule, size)
    assert wanted.sum().item() == pytest.approx(1)
    end, _ = list(_masked.way(exact_odds, torch.full((n, 4), -1), rule, size, seed=7))[-1]
    found = (end @ torch.tensor([8, 4, 2, 1])).bincount(minlength=16) / n
    error = (wanted * (1 - wanted) / n).sqrt() + 1e-5
    assert ((found - wanted).abs() < 4.5 * error).all()


def test_one_at_a_time_is_exact_unless_the_rule_has_seen_the_draw():
    tv = {rule: [_masked.distance(TABLE, rule, k) for k in (1, 2, 4)] for rule in RULES}
    assert tv["random"][0] < 1e-12 and tv["entropy"][0] < 1e-12 < 0.2 < tv["value"][0]
    cells = torch.tensor(list(product((0, 1), repeat=4))).double()
    ones = TABLE @ cells  # (4,)
    independent = torch.where(cells > 0, ones, 1 - ones).prod(1)
    assert all(
        values[2] == pytest.approx(0.5 * (independent - TABLE).abs().sum().item())
        for values in tv.values()
    )
    pairs = [0.0] * 16  # two at a time in random order, by all orders
    for order in permutations(range(4)):
        known = torch.full((16, 4), -1)
        q = torch.ones(16, dtype=torch.float64)
        for group in (order[:2], order[2:]):
            p = exact_odds(known).sigmoid()
            for i in group:
                q *= torch.where(cells[:, i] > 0, p[:, i], 1 - p[:, i])
            known[:, list(group)] = cells[:, list(group)].long()
        pairs = [a + b / 24 for a, b in zip(pairs, q.tolist(), strict=True)]
    wanted = 0.5 * sum(abs(a - b) for a, b in zip(pairs, TABLE.tolist(), strict=True))
    assert tv["random"][1] == pytest.approx(wanted)


def test_numbers_are_of_the_draws_and_of_the_table(fig):
    figure = fig["unmasking"]
    assert set(figure.numbers) == {"different", "draws", "tv"} and "tv" not in fig["odd"].numbers
    assert figure.numbers["tv"] == pytest.approx(_masked.distance(TABLE, "value", 4))
    drawer = _unmasking.Unmasker(MASKED)
    for rule, size in (("value", 8), ("value", 1), ("random", 64)):
        end, _ = drawer.draws(rule, size, seed=0, n=120)[-1]
        different = len({tuple(x) for x in end.tolist()})
        row, column = RULES.index(rule), figure.spec["at_once"].index(size)
        assert figure.spec["different"][row][column] == different
    counts = figure.spec["different"][RULES.index("value")]
    by_value = dict(zip(figure.spec["at_once"], counts, strict=True))
    assert figure.numbers["different"] == by_value[8]
    assert different > by_value[1]  # the last was random


def test_rounding_changes_the_network_little(fig):
    """Less than the figure says, on its own draws, and its weights take a byte each."""
    rounded, packed = _masked.rounded(MASKED)
    assert packed.count == sum(p.numel() for p in MASKED.parameters())
    assert len(packed.weights) < packed.count + 8 * (30 + 20 + 128)
    told = float(re.search(r"by at most ([\d.]+)\.", fig["unmasking"].spec["details"][0])[1])
    x = torch.full((1, 64), -1)
    p, q = (_masked.log_odds(model, x).sigmoid() for model in (MASKED, rounded))
    assert 0 < (p - q).abs().max() <= told < 0.1


def test_a_grey_pixel_has_a_square_as_large_as_its_probability():
    p = torch.tensor([[0.0, 1.0, 0.25, 0.5625]])
    picture = _unmasking.cells(torch.full((1, 4), -1), p, (1, 2, 2), side=8)[0, 0]
    ink = (picture == 0.75).double().unfold(0, 8, 8).unfold(1, 8, 8).mean((-1, -2))
    assert ink.flatten().tolist() == p.flatten().tolist()
    known = _unmasking.cells(torch.tensor([[1, 0]]), p[:, :2], (1, 1, 2), side=4)[0, 0]
    assert (known[:, :4] == 1).all() and (known[:, 4:] == 0).all()


def test_groups_of_any_number_of_pixels():
    for d in (1, 5, 64, 65, 784):
        sizes = _unmasking.group_sizes(d)
        assert sizes[-1] == d and math.ceil(d / sizes[0]) <= 64 and sizes == sorted(set(sizes))


# ---------------------------------------------------------------- codes


def test_the_grid_has_decoded_images_and_counts(answers, fig):
    figure, codes = fig["codebook"], VQ.codes(DIGITS)
    counts = torch.zeros(5, 5)
    for a, b in codes.tolist():
        counts[a, b] += 1
    assert counts.max() < 200 and figure.spec["counts"] == counts.long().flatten().tolist()
    assert figure.code == [int(counts.argmax()) // 5, int(counts.argmax()) % 5]
    shown = iter(answers["examples"])
    for a, b in product(range(5), repeat=2):
        z = torch.nn.functional.one_hot(torch.tensor([a, b]), 5).float()
        figure.code = [a, b]
        wanted = {
            "data": counts[a, b].item() / 200,
            "prior": VQ.prior().log_prob(z[None]).exp().item(),
            "used": int((counts > 0).sum()),
        }
        assert figure.numbers == pytest.approx(wanted)
        decoded = torch.tensor(answers["decoded"][5 * a + b])
        assert (decoded - VQ.likelihood(z).mean.flatten()).abs().max() < 0.51 / 15
        mine = DIGITS[(codes == torch.tensor([a, b])).all(1)][:4]
        assert figure.spec["shown"][5 * a + b] == len(mine)
        for x in mine:
            assert (torch.tensor(next(shown)) - x.flatten()).abs().max() < 0.51 / 15
    assert next(shown, None) is None


def test_large_images_are_made_smaller():
    torch.manual_seed(0)
    model = VQVAE.mlp((3, 64, 64), symbols=2, hidden=(4,))
    spec = figures.codebook(model, torch.rand(30, 3, 64, 64), show="prior").spec
    assert spec["shape"] == [3, 16, 16] and "1/4" in spec["details"][0]


# ---------------------------------------------------------------- rate


def test_the_parts_of_a_bound_add_up(fig):
    figure = fig["rate"]
    assert [p["name"] for p in figure.spec["points"]] == ["(1, 16)", "(2, 16)", "8"]
    assert figure.at == "(1, 16)"
    for name, (distortion, nats, best, exact, *_) in POINTS.items():
        figure.at, total = str(name), distortion + nats
        wanted = {"distortion": distortion, "rate": nats, "total": total, "best": best}
        wanted |= {"exact": exact, "not_best": total - best, "others": best - exact}
        assert figure.numbers == pytest.approx(wanted)
    assert [p["bound"] for p in figure.spec["points"]] == [False, False, True]
    figure.at = "(1, 16)"


# ---------------------------------------------------------------- all of them


def test_values_stay_among_their_choices(fig):
    figure, before = fig["unmasking"], fig["unmasking"].at_once
    figure.at_once = 7
    assert figure.at_once == 8
    figure.at_once = before
    fig["codebook"].code = [9, -3]
    assert fig["codebook"].code == [4, 0]
    for name, trait, wrong in (
        ("unmasking", "rule", "best"), ("codebook", "show", "x"), ("rate", "at", "(3, 3)"),
        ("completing", "state", [0, 1]),
    ):  # fmt: skip
        with pytest.raises(Exception, match=f"{trait}: got"):
            setattr(fig[name], trait, wrong)


def test_figures_have_two_faces_and_stay_small(fig):
    for name, figure in fig.items():
        html = figure.html()
        picture, alt = re.search(r'base64,([^"]+)" alt="([^"]+)"', html).groups()
        assert len(alt) > 60 and 1000 < len(picture) < 80_000, name
        assert html.count("</script>") == 2
        assert len(repr(figure)) < 200


def test_nothing_is_drawn_from_torchs_generator():
    torch.manual_seed(0)
    small = MaskedDiffusion.mlp((1, 3, 3), hidden=4)
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    figure = figures.unmasking(small)
    assert len(figure.images) == 12 and len(figures.completing(small, IMAGES[..., :3, :3]).images)
    figures.codebook(VQ, DIGITS), figures.rate(POINTS)
    assert torch.equal(torch.rand(3), wanted)


def broken(**changed) -> dict:
    return {(1, 2): (20.0, 3.0, 22.0, 21.0), (2, 2): (20.0, 4.0, 22.0, 21.0)} | changed


WRONG = {
    "model: got MADE": lambda: figures.unmasking(MADE((1, 8, 8))),
    "model: got one of 3 levels": lambda: figures.unmasking(THREE_LEVELS),
    "model: got the layer GELU": lambda: figures.unmasking(GELUS),
    "network Convolved": lambda: figures.unmasking(MaskedDiffusion.conv((1, 8, 8))),
    "shape: got .5,.": lambda: figures.unmasking(MaskedDiffusion.mlp((5,))),
    "at_once: got 3": lambda: figures.unmasking(MASKED, at_once=3),
    "rule: got 'best'": lambda: figures.unmasking(MASKED, rule="best"),
    "seed: got -1": lambda: figures.unmasking(MASKED, seed=-1),
    "table: got .3,.": lambda: figures.unmasking(MASKED, table=torch.ones(3) / 3),
    "of the sum 2": lambda: figures.unmasking(MASKED, table=torch.ones(4) / 2),
    "table: got .64,.": lambda: figures.unmasking(MASKED, table=torch.ones(64) / 64),
    "limit: the figure's data take": lambda: figures.unmasking(MASKED, limit=1000),
    "x: got 13 images": lambda: figures.completing(MASKED, torch.zeros(13, 1, 8, 8)),
    "x: ": lambda: figures.completing(MASKED, torch.full((2, 1, 8, 8), 0.5)),
    "hide: got 'left half'": lambda: figures.completing(MASKED, IMAGES, hide="left half"),
    "model: got MaskedDiffusion": lambda: figures.codebook(MASKED, DIGITS),
    "model: got 3 symbols": lambda: figures.codebook(VQVAE.mlp((1, 8, 8), symbols=3), DIGITS),
    "x: got shape": lambda: figures.codebook(VQ, DIGITS[:, 0]),
    "code: got .0, 5.": lambda: figures.codebook(VQ, DIGITS, code=(0, 5)),
    "show: got 'codes'": lambda: figures.codebook(VQ, DIGITS, show="codes"),
    "points: got .'a'.": lambda: figures.rate({"a": (20.0, 3.0, 22.0, 21.0)}),
    "for b": lambda: figures.rate(broken(b=(20.0, 3.0, 24.0, 21.0))),
    "for c": lambda: figures.rate(broken(c=(20.0, 3.0, 22.0, float("nan")))),
    "for d": lambda: figures.rate(broken(d=(20.0, 3.0, 22.0))),
    "at: got 'e'": lambda: figures.rate(broken(), at="e"),
    "expected both or neither": lambda: figures.rate(broken(), originals=IMAGES),
    "reconstructions: got those of": lambda: figures.rate(
        broken(), originals=IMAGES, reconstructions={(1, 2): IMAGES}
    ),
    "originals: got shape .13": lambda: figures.rate(
        broken(), originals=DIGITS[:13], reconstructions={k: DIGITS[:13] for k in broken()}
    ),
    "reconstructions: got .*expected .3": lambda: figures.rate(
        broken(), originals=IMAGES, reconstructions={k: IMAGES[:2] for k in broken()}
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_use_says_what_is_expected(message):
    with pytest.raises(ValueError, match=message):
        WRONG[message]()
