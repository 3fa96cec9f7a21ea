"""Data as bits by a latent-variable model: a code is sent as well, and its choice gives back."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import distributions as D

from ..checks import check_data, example_likelihood, integer
from ..estimators import innermost
from ..heads import GreyLevels
from ..protocols import LatentVariable, given
from .ans import frequencies, pop_all, push_all
from .lossless import precise

BITS = 24  # of frequencies: a thousand bins, none of them empty, take 0.0001 bits for it
BINS = 1 << 10  # of a normal code


@torch.no_grad()
def encode_bits_back(model: LatentVariable, x: Tensor, state: int, y: Tensor | None = None) -> int:
    r"""Put data on the stack in minus the ELBO of bits, by codes that the stack itself draws:

    1. pop codes z by $q(z \mid x)$: what is on the stack are random bits, and
       $-\log_2 q(z \mid x)$ of them are used up;
    2. push x by $p(x \mid z)$;
    3. push z by $p(z)$.

    The decoder pops z and x, and knows $q(z \mid x)$ then, by which it pushes z: the bits are back.
    On average over random bits the stack has grown by

    $$\mathbb E_{q(z \mid x)} \log_2 \frac{q(z \mid x)}{p(x \mid z) \, p(z)} = -\mathrm{ELBO} .$$

    The examples are coded as one: all of their codes are popped before anything is pushed. In a
    loop over `x[i : i + 1]` the codes of one example are drawn with what the one before it left on
    the stack. That takes fewer bits to begin with, but they are as random only as the codes of all
    examples together are distributed like the prior.

    Codes are bits or one-hot; or normal, and then sent as one of 1024 bins, of equal probability
    under the prior, for whose middle (its median) the decoder is asked. While the posterior is much
    wider than a bin, which is 1/400 wide in the middle of N(0, 1) and wider farther out, this
    costs next to nothing.

    Args:
        model: with independent coordinates of the codes, in posterior and prior, and of binary
            pixels or grey levels given a code.
        x: (N, *shape).
        state: random bits, or what else is on the stack: `random.getrandbits(100_000)`, say. As
            many are used as the codes have bits of entropy under the posterior, and 24.
        y: labels (N,), for a model with classes. They are not put on the stack.

    Returns:
        The stack. Its length less that of `state` is what the data cost.

    Raises:
        ValueError: x are no data of the model; the model's distributions are others; or the state
            has too few bits.

    Equation: eq-bits-back

    Source: Hinton and van Camp (1993), doi:10.1145/168304.168306, Keeping the neural networks
    simple by minimizing the description length of the weights; Townsend, Bird and Barber (2019),
    arXiv:1901.04866, Practical lossless compression with latent variables using bits back coding.

    >>> import random
    >>> from dgm.models import VAE
    >>> model, x = VAE.mlp((1, 8, 8)), torch.bernoulli(torch.full((20, 1, 8, 8), 0.5))
    >>> before = random.Random(0).getrandbits(2000)
    >>> code = encode_bits_back(model, x, before)
    >>> state, decoded = decode_bits_back(model, code, 20)
    >>> state == before, torch.equal(decoded, x)
    (True, True)
    """
    check_data(model, x, y)
    exact, condition = precise(model), _on_cpu(given(model, y))
    pixels = alphabet(example_likelihood(exact))
    symbols = pixels.symbols(x.cpu())  # (N D,)
    x = pixels.events(symbols)  # 1/3 as the decoder will have it, in double precision
    q, prior = exact.posterior(x, **condition), exact.prior(**condition).expand((len(x),))
    codes = alphabet(q, prior)
    f = codes.frequencies(q)
    left, z = pop_all(state, f)
    if left >> BITS == 0:
        shares = f / (1 << BITS)
        needed = BITS - torch.xlogy(shares, shares).sum() / math.log(2)
        raise ValueError(
            f"state: got {state.bit_length()} bits, expected about {needed:.0f}: the codes of "
            f"{len(x)} examples are drawn with them"
        )
    p = exact.likelihood(codes.events(z), **condition)
    left = push_all(left, symbols, pixels.frequencies(p))
    return push_all(left, z, codes.frequencies(prior))


@torch.no_grad()
def decode_bits_back(
    model: LatentVariable, state: int, n: int, y: Tensor | None = None
) -> tuple[int, Tensor]:
    """Take n examples from the stack, and give the bits back: the inverse of `encode_bits_back`.

    Arguments and errors as there.

    Returns:
        The stack as it was before, and (n, *shape).
    """
    exact, condition = precise(model), _on_cpu(given(model, y))
    pixels = alphabet(example_likelihood(exact))
    prior = exact.prior(**condition).expand((integer("n", n),))
    codes = alphabet(prior, prior)
    state, z = pop_all(state, codes.frequencies(prior))
    p = exact.likelihood(codes.events(z), **condition)
    state, symbols = pop_all(state, pixels.frequencies(p))
    x = pixels.events(symbols)
    state = push_all(state, z, codes.frequencies(exact.posterior(x, **condition)))
    return state, x.to(next(model.parameters()))


def _on_cpu(condition: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: y.cpu() for name, y in condition.items()}


class _Choices:
    """Events whose coordinates are one of L symbols each: bits, grey levels, one-hot vectors."""

    def __init__(self, p: D.Distribution):
        self.one_hot = isinstance(innermost(p), D.OneHotCategorical)
        self.shape = p.event_shape
        self.symbols_each = self.table(p).shape[-1]

    def table(self, p: D.Distribution) -> Tensor:
        """Probabilities of all coordinates of all examples: (N D, L)."""
        p = innermost(p)
        probs = p.probs
        if isinstance(p, D.Bernoulli):
            probs = torch.stack([1 - probs, probs], -1)
        return probs.flatten(0, -2)

    def frequencies(self, p: D.Distribution) -> Tensor:
        return frequencies(self.table(p), BITS)

    def symbols(self, x: Tensor) -> Tensor:
        """Which they are: (N, *event) -> (N D,)."""
        if self.one_hot:
            return x.argmax(-1).flatten()
        return (x * (self.symbols_each - 1)).round().long().flatten()

    def events(self, symbols: Tensor) -> Tensor:
        """(N D,) -> (N, *event)."""
        if self.one_hot:
            values = F.one_hot(symbols, self.symbols_each).double()
        else:
            values = symbols.double() / (self.symbols_each - 1)
        return values.reshape(-1, *self.shape)


class _Bins:
    """Normal codes, each coordinate in one of the bins that are equally likely under the prior."""

    def __init__(self, prior: D.Distribution):
        self.shape = prior.event_shape
        self.prior = innermost(prior)
        inner = torch.arange(1, BINS, dtype=torch.double) / BINS
        self.edges = self._quantiles(inner)  # (N, *event, BINS - 1)

    def _quantiles(self, u: Tensor) -> Tensor:
        mean, sigma = self.prior.mean[..., None], self.prior.stddev[..., None]
        return mean + sigma * torch.special.ndtri(u)

    def frequencies(self, p: D.Distribution) -> Tensor:
        p = innermost(p)
        below = torch.special.ndtr((self.edges - p.mean[..., None]) / p.stddev[..., None])
        probs = F.pad(below, (0, 1), value=1.0) - F.pad(below, (1, 0))  # (N, *event, BINS)
        return frequencies(probs.flatten(0, -2), BITS)

    def events(self, symbols: Tensor) -> Tensor:
        """The median of each bin: (N D,) -> (N, *event)."""
        middles = (torch.arange(BINS, dtype=torch.double) + 0.5) / BINS
        values = self._quantiles(middles).flatten(0, -2)  # (N D, BINS)
        return values[range(len(symbols)), symbols].reshape(-1, *self.shape)


def alphabet(p: D.Distribution, prior: D.Distribution | None = None) -> "_Choices | _Bins":
    """How the coordinates of events of p are symbols. Those of codes come with a prior."""
    kinds = {type(innermost(q)) for q in (p, prior or p)}
    if all(issubclass(kind, D.Bernoulli | D.OneHotCategorical | GreyLevels) for kind in kinds):
        return _Choices(p)
    if prior is not None and kinds == {D.Normal}:
        return _Bins(prior)
    got = " and ".join(sorted(kind.__name__ for kind in kinds))
    what, more = ("pixels", "") if prior is None else ("codes", ", or normal in both")
    raise ValueError(f"model: {what} are {got}, expected bits, grey levels or one-hot{more}")
