"""Codes that are read again, and as long as models say: enumeration, and the stack in fractions."""

import math
import random
from fractions import Fraction
from itertools import product

import pytest
import torch
from tests.every_model import EVERY

from dgm import coding, heads, models
from dgm.heads import Levels
from dgm.models.autoregressive.base import Autoregressive

pytestmark = pytest.mark.usefixtures("cpu")

SEQUENCES = [name for name, entry in EVERY.items() if isinstance(entry.support, Levels)]
ORDERED = [name for name in SEQUENCES if isinstance(EVERY[name].build(), Autoregressive)]


def bits_of(log_prob):
    return -log_prob.double().sum().item() / math.log(2)


def grown(before, after):
    """By how many bits, to more digits than whole ones."""
    return math.log2(Fraction(after, before))


# --- the stack ---


def test_frequencies_add_up_and_none_is_zero():
    p = torch.distributions.Dirichlet(torch.full((17,), 0.1)).sample((200,)).double()
    for bits in (6, 16):
        f = coding.frequencies(p, bits)
        assert (f.sum(-1) == 2**bits).all()
        assert f.min() >= 1
        dearest = math.log2(2**bits / (2**bits - 17))  # bits too many, at most
        assert ((p.log2() - (f / 2**bits).log2()).max() <= dearest + 1e-12).all()
    assert coding.frequencies(torch.tensor([1.0, 0.0]), 16).tolist() == [2**16 - 1, 1]


def test_every_small_number_by_the_table_of_what_belongs_to_whom():
    """s' is the s-th of the numbers that belong to the symbol; each belongs to exactly one."""
    f = [4, 3, 1]
    owner = [0, 0, 0, 0, 1, 1, 1, 2]
    for symbol in range(3):
        its = [s for s in range(400) if owner[s % 8] == symbol]
        assert [coding.push(s, symbol, f) for s in range(len(its))] == its
    for s in range(400):
        before, symbol = coding.pop(s, f)
        assert symbol == owner[s % 8]
        assert coding.push(before, symbol, f) == s


def test_a_message_is_as_long_as_its_probability_says():
    p = torch.tensor([0.7, 0.2, 0.07, 0.03])
    f = coding.frequencies(p).tolist()
    message, state = torch.multinomial(p, 3000, replacement=True).tolist(), 1
    for symbol in message:
        state = coding.push(state, symbol, f)
    expected = sum(-math.log2(f[symbol] / 2**16) for symbol in message)
    assert 0 <= state.bit_length() - expected < 19
    back = []
    for _ in message:
        state, symbol = coding.pop(state, f)
        back.append(symbol)
    assert back[::-1] == message
    assert state == 1


def test_to_pop_random_bits_is_to_draw():
    f, state, n = [5, 2, 1], random.Random(0).getrandbits(60_000), 20_000
    counts = [0, 0, 0]
    for _ in range(n):
        state, symbol = coding.pop(state, f)
        counts[symbol] += 1
    assert state >> 3  # they were not used up
    for count, share in zip(counts, (5 / 8, 2 / 8, 1 / 8), strict=True):
        assert abs(count / n - share) < 4 * math.sqrt(share * (1 - share) / n)


# --- autoregressive models ---


@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.parametrize("levels", [2, 3])
def test_every_autoregressive_model_codes(name, levels):
    model, shape = EVERY[name].build((1, 4, 4), levels=levels), (1, 4, 4)
    x = torch.randint(levels, (5, *shape)) / (levels - 1)
    y = torch.arange(5) % model.classes if model.classes else None
    before = random.Random(0).getrandbits(300)
    code = coding.encode(model, x, y, before)
    state, back = coding.decode(model, code, 5, y)
    assert state == before
    assert torch.equal(back, x)
    # 80 coordinates, each rounded by 2e-4 bits at most
    assert abs(grown(before, code) - bits_of(model.log_prob(x, y))) < 0.016
    assert abs(coding.encode(model, x, y).bit_length() - bits_of(model.log_prob(x, y))) < 18


def test_codes_of_all_outcomes():
    """The mean over all 16 outcomes is the entropy and what each message costs to begin."""
    model = models.MADE(4, order=[2, 0, 3, 1], hidden=8)
    every = torch.tensor(list(product([0.0, 1.0], repeat=4)))
    p = model.log_prob(every).exp()
    codes = [coding.encode(model, x[None]) for x in every]
    assert len(set(codes)) == 16
    for code, x in zip(codes, every, strict=True):
        assert torch.equal(coding.decode(model, code, 1)[1][0], x)
    # of what was there already, 100,000 bits, nothing is lost: logarithms by exact fractions
    before = 1 << 1000
    spent = torch.tensor(
        [grown(before, coding.encode(model, x[None], state=before)) for x in every]
    )
    torch.testing.assert_close(spent, -p.detach().log2(), rtol=0, atol=4 * 5e-5)


def test_integers_are_coded_as_the_grid():
    model = models.NADE((1, 3, 3), levels=3)
    tokens = torch.randint(3, (4, 1, 3, 3))
    code = coding.encode(model, tokens)
    assert code == coding.encode(model, tokens / 2)
    assert torch.equal(coding.decode(model, code, 4)[1], tokens / 2)


def test_the_model_and_the_random_state_stay_what_they_were():
    model, x = models.MADE((1, 4, 4)).train(), torch.zeros(2, 1, 4, 4)
    before = torch.get_rng_state()
    coding.decode(model, coding.encode(model, x), 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert next(model.parameters()).dtype == torch.float32


def test_another_coder_needs_as_many_bits():
    constriction = pytest.importorskip("constriction")
    model, x = models.MADE((1, 8, 8)).double(), torch.bernoulli(torch.full((9, 1, 8, 8), 0.3))
    p = model.conditionals(x.double()).probs.detach().flatten().numpy()
    coder = constriction.stream.queue.RangeEncoder()
    coder.encode(x.flatten().int().numpy(), constriction.stream.model.Bernoulli(), p)
    theirs = 32 * len(coder.get_compressed())  # in words of 32 bits
    assert abs(theirs - coding.encode(model, x.double()).bit_length()) <= 64


# --- bits back ---


POSTERIORS = {
    "bits": {"posterior": heads.Bernoulli, "latent": 6},
    "one-hot": {"posterior": heads.OneHotCategorical, "latent": (2, 5)},
    "one of five": {"posterior": heads.OneHotCategorical, "latent": 5},
    "normal": {"latent": 3},
}
LIKELIHOODS = {"binary": (heads.Bernoulli, 2)} | {
    f"{levels} levels": (lambda f, s, n=levels: heads.Categorical(f, s, n), levels)
    for levels in (4, 256)
}


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_bits_come_back(posterior, likelihood):
    head, levels = LIKELIHOODS[likelihood]
    model = models.VAE.mlp((1, 4, 4), hidden=8, likelihood=head, **POSTERIORS[posterior])
    x = torch.randint(levels, (5, 1, 4, 4)) / (levels - 1)
    before = random.Random(0).getrandbits(1000)
    code = coding.encode_bits_back(model, x, before)
    state, back = coding.decode_bits_back(model, code, 5)
    assert state == before
    assert torch.equal(back, x)


def test_grey_levels_are_what_the_decoder_has():
    """77/255 in single precision is another number, of which the posterior knows something."""
    model = sharpened(models.VAE.mlp((1, 8, 8), hidden=8, likelihood=LIKELIHOODS["256 levels"][0]))
    x = torch.randint(256, (60, 1, 8, 8)) / 255
    before = random.Random(0).getrandbits(3000)
    code = coding.encode_bits_back(model, x, before)
    state, back = coding.decode_bits_back(model, code, 60)
    assert state == before
    assert torch.equal(back, x)


def test_bits_come_back_to_a_model_with_classes():
    model, y = models.ConditionalVAE.mlp((1, 4, 4), classes=3, hidden=8), torch.tensor([0, 2, 1])
    x = torch.randint(2, (3, 1, 4, 4)).float()
    before = random.Random(0).getrandbits(1000)
    code = coding.encode_bits_back(model, x, before, y)
    state, back = coding.decode_bits_back(model, code, 3, y)
    assert (state, back.tolist()) == (before, x.tolist())
    assert code != coding.encode_bits_back(model, x, before, y.flip(0))


def sharpened(model, by=4):
    """Networks of a fresh model hardly look at their input; what is measured here must depend."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(by)
    return model


def test_the_length_is_minus_the_elbo_and_not_minus_log_p():
    """Against sums over all 16 codes of each example."""
    model = sharpened(models.VAE.mlp((1, 3, 3), hidden=8, posterior=heads.Bernoulli, latent=4))
    x, n = torch.randint(2, (8, 1, 3, 3)).float(), 150
    z = torch.tensor(list(product([0.0, 1.0], repeat=4)))  # (16, 4)
    with torch.no_grad():
        q = torch.stack([model.posterior(x).log_prob(code) for code in z])  # (16, 8)
        joint = torch.stack(
            [model.likelihood(code[None]).log_prob(x) + model.prior().log_prob(code) for code in z]
        )
    elbo = bits_of((q.exp() * (joint - q)).sum(0))
    spent = []
    for seed in range(n):
        before = random.Random(seed).getrandbits(200) | 1 << 200
        spent.append(grown(before, coding.encode_bits_back(model, x, before)))
    mean, error = torch.tensor(spent).mean(), torch.tensor(spent).std() / n**0.5
    assert abs(mean - elbo) < 4 * error
    assert elbo - bits_of(joint.logsumexp(0)) > 8 * error  # the bound is not tight here


def test_the_length_by_normal_codes_is_minus_the_elbo():
    """Against the average over draws of q, which are not in bins."""
    model = sharpened(models.VAE.mlp((1, 3, 3), hidden=8, latent=2), by=2)
    x, n = torch.randint(2, (8, 1, 3, 3)).float(), 60
    with torch.no_grad():
        q = model.posterior(x)
        z = q.sample((20_000,))
        weights = model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)
    elbo = bits_of(weights.mean(0))
    spent = []
    for seed in range(n):
        before = random.Random(seed).getrandbits(600) | 1 << 600
        spent.append(grown(before, coding.encode_bits_back(model, x, before)))
    mean, error = torch.tensor(spent).mean(), torch.tensor(spent).std() / n**0.5
    assert abs(mean - elbo) < 4 * error + 0.05


def test_one_after_the_other_draws_codes_with_what_codes_have_left():
    """The stack of a chain is another one than that of all at once, and is read in reverse."""
    model = models.VAE.mlp((1, 3, 3), hidden=8, posterior=heads.Bernoulli, latent=4)
    x = torch.randint(2, (3, 1, 3, 3)).float()
    before = state = random.Random(0).getrandbits(300)
    for i in range(3):
        state = coding.encode_bits_back(model, x[i : i + 1], state)
    assert state != coding.encode_bits_back(model, x, before)
    for i in reversed(range(3)):
        state, back = coding.decode_bits_back(model, state, 1)
        assert torch.equal(back[0], x[i])
    assert state == before


# --- what is refused ---


def vae(**more):
    return models.VAE.mlp((1, 3, 3), hidden=4, **more)


IMAGE = torch.zeros(2, 1, 3, 3)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: coding.frequencies(torch.tensor([0.5, 0.6])), "p: got shape .* add up to 1"),
        (lambda: coding.frequencies(torch.tensor([1.5, -0.5])), "p: got shape"),
        (lambda: coding.frequencies(torch.tensor([torch.nan, 1.0])), "p: got values that are not"),
        (lambda: coding.frequencies(torch.full((9,), 1 / 9), bits=4), "bits: got 4, too few for 9"),
        (lambda: coding.frequencies(torch.tensor([1.0]), bits=0), "bits: got 0, expected an int"),
        (lambda: coding.push(3, 1, [4, 0]), "symbol: got 1, to which f gives no frequency"),
        (lambda: coding.push(3, 2, [4, 1]), "symbol: got 2"),
        (lambda: coding.push(-1, 0, [4, 1]), "state: got -1"),
        (lambda: coding.pop(-1, [4, 1]), "state: got -1"),
        (lambda: coding.encode(vae(), IMAGE), "model: got VAE, expected one of dgm.models.autoreg"),
        (lambda: coding.decode(vae(), 1, 2), "model: got VAE"),
        (lambda: coding.encode(models.MADE((1, 3, 3)), IMAGE + 0.3), "x: got values outside"),
        (lambda: coding.decode(models.MADE((1, 3, 3)), 1, 0), "n: got 0"),
        (
            lambda: coding.decode(models.MADE((1, 3, 3), classes=2), 1, 2),
            "y: got None, expected labels",
        ),
        (
            lambda: coding.encode_bits_back(vae(), IMAGE, 99),
            "state: got 7 bits, expected about 6[0-9]",
        ),
        (
            lambda: coding.encode_bits_back(vae(likelihood=heads.Normal), IMAGE, 1 << 99),
            "model: pixels are Normal, expected bits",
        ),
        (
            lambda: coding.encode_bits_back(vae(posterior=heads.FullNormal), IMAGE, 1 << 99),
            "model: codes are MultivariateNormal and Normal, expected bits.* or normal in both",
        ),
        (lambda: coding.decode_bits_back(vae(), 1 << 99, 0), "n: got 0"),
    ],
)
def test_bad_input(act, message):
    with pytest.raises(ValueError, match=message):
        act()
