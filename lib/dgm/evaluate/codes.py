"""What codes say: how many are in use, all of them summed out, and what each level carries."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch import distributions as D
from torch.nn import functional as F

from ..checks import check_data, check_examples, integer
from ..data import in_batches
from ..estimators import innermost, logmeanexp, support
from ..heads import TopDown
from ..heads.tokens import one_hot
from ..objectives.divergences import level_divergences
from ..protocols import LatentVariable

MOST_CODES = 65_536  # what `sum_codes` is willing to decode


class Usage(NamedTuple):
    """What `usage` returns: how many of the K codes occur, and the perplexity of their shares."""

    used: int
    perplexity: float


@torch.no_grad()
def usage(model, x: Tensor, batch_size: int = 1000) -> Usage:
    r"""How many of the K codes stand for something in x, and $e^{H(\hat p)}$ of their shares
    $\hat p$, over all symbols of all examples.

    The entropy of n symbols is too small on average, by about (K - 1) / 2n: ask for a whole data
    set, not for a batch.

    Args:
        model: has `codes(x)` and `quantiser.codes`, as `dgm.models.VQVAE`.
        x: (N, *event).
        batch_size: examples at a time.

    Raises:
        ValueError: there are no examples, or x has another event shape or type than the model's.

    Equation: eq-perplexity-bias

    >>> from dgm.models import VQVAE
    >>> usage(VQVAE.mlp((2,), symbols=3), torch.zeros(5, 2)).used <= 3
    True
    """
    check_examples(model, x)
    integer("batch_size", batch_size)
    k = torch.cat([model.codes(part) for part, _ in in_batches(x, None, batch_size)])
    counts = torch.bincount(k.flatten(), minlength=model.quantiser.codes).double()
    perplexity = D.Categorical(counts, validate_args=False).entropy().exp()
    return Usage(int((counts > 0).sum()), perplexity.item())


class CodeSum(NamedTuple):
    """For each example, log p(x) in nats and the code with the largest share in it.

    Attributes:
        log_prob: log p(x), or of `search_codes` an estimate from below: (N,).
        best: the largest log p(x, z): (N,).
        code: its z, (N, *code).
    """

    log_prob: Tensor
    best: Tensor
    code: Tensor


@torch.no_grad()
def sum_codes(model: LatentVariable, x: Tensor, chunk: int = 256) -> CodeSum:
    r"""$\log p_\theta(x) = \log \sum_z p(z) \, p_\theta(x \mid z)$, all codes summed out: exact.

    Every code is decoded once, for all examples; the encoder has no say.

    Args:
        model: one whose codes can be enumerated: of bits, or of one-hot vectors.
        x: (N, *event).
        chunk: how many codes are decoded at a time.

    Raises:
        ValueError: the codes cannot be enumerated, or are more than 65,536 (see `search_codes`);
            there are no examples, or some lie outside the support.

    Equation: eq-one-code-gap

    >>> from dgm.models import VQVAE
    >>> sum_codes(VQVAE.mlp((1, 8, 8)), torch.ones(3, 1, 8, 8)).log_prob.shape
    torch.Size([3])
    """
    check_data(model, x)
    integer("chunk", chunk)
    codes = support(model.posterior(x[:1]))  # (S, *code)
    if len(codes) > MOST_CODES:
        raise ValueError(f"model: has {len(codes)} codes, expected at most {MOST_CODES:,} to sum")
    total = best = x.new_full(x.shape[:1], -torch.inf)  # (N,)
    place = torch.zeros(len(x), dtype=torch.long, device=x.device)
    for start in range(0, len(codes), chunk):
        z = codes[start : start + chunk]
        log_joint = _each_of_each(model.likelihood(z), x) + model.prior().log_prob(z)[:, None]
        total = torch.logaddexp(total, log_joint.logsumexp(0))  # of (S, N)
        value, k = log_joint.max(0)
        place = torch.where(value > best, start + k, place)
        best = torch.maximum(best, value)
    return CodeSum(total, best, codes[place])


@torch.no_grad()
def search_codes(model, x: Tensor, draws: int = 500, chunk: int = 50) -> CodeSum:
    r"""A code that says much about each example, and a bound on log p(x) from draws around it.

    From the nearest codes, one symbol after the other is replaced by the best of its K values,
    until none gets better: `code`. Around it, q(z) chooses each symbol by itself, in proportion to
    $p_\theta(x, z)$ with the others as they are in `code`, and with a tenth of the probability by
    any value; $\log \frac1n \sum_i p_\theta(x, z_i) / q(z_i)$ over n draws is at most log p(x) on
    average. It is meant for models with more codes than `sum_codes` can sum.

    Args:
        model: has `codes(x)` and one-hot codes (M, K), as `dgm.models.VQVAE`.
        x: (N, *event).
        draws: n.
        chunk: draws that are decoded at a time.

    Raises:
        ValueError: as `sum_codes`, but for the number of codes.

    >>> from dgm.models import VQVAE
    >>> found = search_codes(VQVAE.mlp((1, 8, 8), symbols=3), torch.ones(5, 1, 8, 8), draws=10)
    >>> found.code.shape, bool((found.log_prob >= found.best - 2).all())
    (torch.Size([5, 3, 16]), True)
    """
    check_data(model, x)
    integer("draws", draws), integer("chunk", chunk)
    symbols, codes = model.prior().event_shape

    def log_joint(z: Tensor) -> Tensor:  # (S, N, M, K) -> (S, N)
        return model.likelihood(z).log_prob(x) + model.prior().log_prob(z)

    def changed(k: Tensor, m: int) -> Tensor:
        """The log joint for every value of symbol m, the others as in k (N, M): (K, N)."""
        every = k.repeat(codes, 1, 1)  # (K, N, M)
        every[:, :, m] = torch.arange(codes, device=k.device)[:, None]
        return log_joint(one_hot(every, codes, like=x))

    k, best = model.codes(x), x.new_full(x.shape[:1], -torch.inf)
    while True:
        before = best
        for m in range(symbols):
            best, k[:, m] = changed(k, m).max(0)
        if not (best > before + 1e-4).any():
            break
    shares = torch.stack([changed(k, m).softmax(0).T for m in range(symbols)], 1)  # (N, M, K)
    q = D.Independent(D.Categorical(0.9 * shares + 0.1 / codes, validate_args=False), 1)
    drawn = q.sample((draws,))  # (n, N, M)
    log_w = torch.cat(
        [log_joint(one_hot(part, codes, like=x)) - q.log_prob(part) for part in drawn.split(chunk)]
    )
    return CodeSum(logmeanexp(log_w), best, one_hot(k, codes, like=x))


@torch.no_grad()
def level_rates(model: LatentVariable, x: Tensor, k: int = 10) -> Tensor:
    r"""What each level of a top-down model carries, in nats per example, the top first: (L,).

    $$\mathbb E_{q(z_{<l} \mid x)} \operatorname{KL}(q(z_l \mid z_{<l}, x) \,\Vert\,
    p(z_l \mid z_{<l})),$$

    averaged over x, each divergence in closed form at k draws of the levels above. By the chain
    rule their sum is the rate.

    Args:
        model: posterior and prior are `heads.TopDown`, as those of `dgm.models.Ladder`.
        x: (N, *event).
        k: draws per example.

    Raises:
        ValueError: the model has no such levels (`VAE.two_layer` goes up to z_2 from z_1); there
            are no examples, or x has another event shape or type than the model's.

    Equation: eq-level-rates

    >>> from dgm.models import Ladder
    >>> level_rates(Ladder.mlp((1, 8, 8), latent=(2, 4)), torch.zeros(3, 1, 8, 8)).shape
    torch.Size([2])
    """
    check_examples(model, x)
    q, p = model.posterior(x), model.prior()
    if not (isinstance(q, TopDown) and isinstance(p, TopDown)):
        raise ValueError(
            f"model: got a {type(model).__name__} with a {type(q).__name__} posterior, expected "
            "levels that are drawn from the top down, as those of a Ladder"
        )
    return level_divergences(q, p, q.sample((integer("k", k),))).mean((1, 2))


def _each_of_each(p: D.Distribution, x: Tensor) -> Tensor:
    """log p_s(x_n) of S distributions and N events: (S, N).

    For independent bits, which it is worth a hundredfold, by one matrix product.
    """
    bits = innermost(p)
    if isinstance(bits, D.Bernoulli) and len(p.batch_shape) == 1:
        a = bits.logits.flatten(1)  # (S, D)
        return a @ x.flatten(1).T - F.softplus(a).sum(1, keepdim=True)
    return p.log_prob(x[:, None]).T
