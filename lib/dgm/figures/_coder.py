r"""The coder at work on one image: interval halving, and a stack of symbols, with bits back.

A model gives each symbol a frequency f out of M and the sum c of those before it (see
`dgm.coding.frequencies`). Interval halving keeps the interval of all numbers in [0, 1) that stand
for what was coded so far,

    low' = low + width c / M,        width' = width f / M,

and writes the next binary digit as soon as all of them have it in common. The stack is the integer
of `dgm.coding.push` and `pop`. The arithmetic is that of integers, here and in the page.
"""

import math
from functools import partial
from random import Random

import torch
from torch import Tensor

from ..checks import check_data, example_likelihood, integer
from ..coding.ans import pop, push
from ..coding.bits_back import BITS, alphabet
from ..coding.lossless import conditional_frequencies, precise
from ..models.autoregressive.base import Autoregressive
from ..protocols import LatentVariable, given
from ._energies import BLUE, WARM
from ._formats import to_pixels

PIXEL_BITS = 16  # of an autoregressive model's frequencies, as in `dgm.coding.encode`
ALREADY = 40  # bits on the stack before
WAYS = ("interval", "stack")
POP_CODE, PUSH_PIXEL, PUSH_CODE = range(3)


def coder(
    model: Autoregressive | LatentVariable,
    x: Tensor,
    *,
    y: int | None = None,
    seed: int = 0,
    step: int = 0,
    way: str | None = None,
    caption: str = "",
    limit: int = 200_000,
):
    r"""Put one image into bits, symbol by symbol, and take it out again by moving backwards.

    By an autoregressive model in two ways, which the reader chooses between: as an interval, whose
    bits come out beside $-\log_2 p$ of the pixels so far; or on a stack, last pixel first. By a
    latent-variable model on the stack, with bits back: its code is popped, which takes bits away,
    then the pixels are pushed, then the code.

    Args:
        model: as `dgm.coding` takes it.
        x: one grey or binary image, (1, H, W) or (1, 1, H, W), on the model's grid.
        y: its class, for a model with classes.
        seed: of the random bits that are on the stack before.
        step: how many steps have been taken, at the start.
        way: "interval" or "stack" at the start; None takes the first that there is.
        caption: text below the figure.
        limit: the most bytes that the figure's data may take in a page.

    Returns:
        A widget; its `step` and `way` can be read, set and observed, and `numbers` read: `bits`,
        minus the logarithm of the probabilities as the coder rounds them, and by how many bits the
        `stack` grows; of an autoregressive model also `exact`, $-\log_2 p(x)$, and the length of
        the code by `interval`.

    Raises:
        ValueError: the model is neither, or its events are no grey images; x is no event of it; y,
            step or way is out of range; or the data exceed `limit`.

    Source: Witten, Neal and Cleary (1987), doi:10.1145/214762.214771, Arithmetic coding for data
    compression; for the stack see `dgm.coding`.

    >>> from dgm.models import MADE
    >>> fig = coder(MADE((1, 8, 8)), torch.zeros(1, 8, 8))
    >>> fig.numbers["interval"] - fig.numbers["exact"] < 2.1
    True
    """
    from ._widgets import Coder

    if not isinstance(model, Autoregressive | LatentVariable):
        raise ValueError(
            f"model: got {type(model).__name__}, expected an autoregressive or latent-variable one"
        )
    shape = tuple(model.shape)
    if len(shape) != 3 or shape[0] != 1:
        raise ValueError(f"model: got one of events {shape}, expected grey images (1, H, W)")
    x = x.detach().reshape(1, *shape) if x.numel() == math.prod(shape) else x
    labels = None if y is None else torch.tensor([y], device=x.device)
    check_data(model, x, labels)
    if len(x) != 1:
        raise ValueError(f"x: got {len(x)} images, expected one")
    bits_back = not isinstance(model, Autoregressive)
    ways = WAYS[1:] if bits_back else WAYS
    chosen = ways[0] if way is None else way
    if chosen not in ways:
        raise ValueError(f"way: got {way!r}, expected one of {', '.join(ways)}")
    make = with_codes if bits_back else pixel_by_pixel
    spec = make(model, x, labels, integer("seed", seed, at_least=0))
    spec["shape"] = list(shape)
    if integer("step", step, at_least=0) > last_step(spec, chosen):
        raise ValueError(f"step: got {step}, expected at most {last_step(spec, chosen)}")
    functions = {"measure": partial(numbers, spec), "draw_still": partial(_still, spec)}
    return Coder.within(limit, spec, **functions, step=step, way=chosen, caption=caption)


@torch.no_grad()
def pixel_by_pixel(model: Autoregressive, x: Tensor, y: Tensor | None, seed: int) -> dict:
    """What an autoregressive model says of each pixel, in its order."""
    symbols = model.indices(x).flatten().cpu()  # (D,)
    seen, steps = torch.zeros(1, len(symbols), dtype=torch.double), []
    for j, f in conditional_frequencies(model, seen, y, PIXEL_BITS):
        steps.append([PUSH_PIXEL, j, *_share(f[0].tolist(), int(symbols[j]))])
        seen[0, j] = symbols[j] / (model.levels - 1)
    condition = {} if y is None else {"y": y.cpu()}
    exact = -precise(model).log_prob(x.cpu().double(), **condition).item() / math.log(2)
    spec = {
        "image": _grey(symbols, model.levels),
        "steps": steps,
        "levels": model.levels,
        "bits": PIXEL_BITS,
        "codes": 0,
        "start": hex(_random_bits(seed, ALREADY)),
        "exact": exact,
    }
    cost = ideal(spec, "interval")[-1]
    details = (
        f"Frequencies are integers that add up to 2^{PIXEL_BITS}, as in dgm.coding: the image "
        f"costs {cost:.3f} bits by them, {exact:.3f} by the model. The interval is exact, as "
        f"is the stack, an integer of {ALREADY} random bits at first."
    )
    return spec | {"details": [details]}


@torch.no_grad()
def with_codes(model: LatentVariable, x: Tensor, y: Tensor | None, seed: int) -> dict:
    """What bits back does with one image, in the order in which it does it."""
    exact, condition = precise(model), {}
    if y is not None:
        condition = given(model, y.cpu())
    pixels = alphabet(example_likelihood(exact))
    symbols = pixels.symbols(x.cpu())  # (D,)
    x = pixels.events(symbols)
    q, prior = exact.posterior(x, **condition), exact.prior(**condition).expand((1,))
    codes = alphabet(q, prior)
    f_q, f_prior = codes.frequencies(q), codes.frequencies(prior)  # (K, L)
    shares = f_q / (1 << BITS)
    entropy = -torch.xlogy(shares, shares).sum().item() / math.log(2)
    start = _random_bits(seed, BITS + ALREADY + math.ceil(entropy))
    state, z, steps = start, [], []
    for j, f in enumerate(f_q.tolist()):
        state, symbol = pop(state, f)
        z.append(symbol)
        steps.append([POP_CODE, j, *_share(f, symbol)])
    f_x = pixels.frequencies(exact.likelihood(codes.events(torch.tensor(z)), **condition))
    for kind, found, rows in (
        (PUSH_PIXEL, symbols.tolist(), f_x.tolist()),
        (PUSH_CODE, z, f_prior.tolist()),
    ):
        backwards = reversed(list(enumerate(zip(rows, found, strict=True))))
        steps += [[kind, j, *_share(f, symbol)] for j, (f, symbol) in backwards]
    details = (
        f"Frequencies are integers that add up to 2^{BITS}, as in dgm.coding. The stack is an "
        f"integer, of {start.bit_length()} random bits at first, and with them the code is drawn."
    )
    return {
        "image": _grey(symbols, pixels.symbols_each),
        "steps": steps,
        "levels": pixels.symbols_each,
        "bits": BITS,
        "codes": len(z),
        "start": hex(start),
        "details": [details],
    }


def _grey(symbols: Tensor, levels: int) -> list[float]:
    return [round(v, 4) for v in (symbols / (levels - 1)).tolist()]


def _share(f: list[int], symbol: int) -> list[int]:
    """The symbol, the frequencies below it, and its own."""
    return [symbol, sum(f[:symbol]), f[symbol]]


def _random_bits(seed: int, n: int) -> int:
    return Random(seed).getrandbits(n) | 1 << (n - 1)  # so many, the first being 1


# ---------------------------------------------------------------- what figures.js does, too


def operations(spec: dict, way: str) -> list[list[int]]:
    """The steps in the order in which they are taken: a stack of pixels begins with the last."""
    return spec["steps"] if way == "interval" or spec["codes"] else spec["steps"][::-1]


def last_step(spec: dict, way: str) -> int:
    """The interval has one step more, which closes the code."""
    return len(spec["steps"]) + (way == "interval")


def ideal(spec: dict, way: str) -> list[float]:
    """Minus the logarithm of the probabilities after each step, what was popped counted back."""
    total = [0.0]
    for kind, *_, f in operations(spec, way):
        total.append(total[-1] + (-1 if kind == POP_CODE else 1) * (spec["bits"] - math.log2(f)))
    return total + total[-1:] * (way == "interval")


def intervals(spec: dict) -> list[tuple[int, int, int, str]]:
    """After each step low and width, in units of 2^-scale of what the bits leave; these bits."""
    low, width, scale, out = 0, 1, 0, ""
    states = [(low, width, scale, out)]
    for *_, c, f in spec["steps"]:
        low, width, scale = (low << spec["bits"]) + width * c, width * f, scale + spec["bits"]
        while scale and (low + width <= 1 << scale - 1 or low >= 1 << scale - 1):
            digit, scale = low >> scale - 1, scale - 1
            low -= digit << scale
            out += str(digit)
        states.append((low, width, scale, out))
    return [*states, (low, width, scale, out + closing(low, width, scale))]


def closing(low: int, width: int, scale: int) -> str:
    """The fewest digits whose numbers, however they go on, all lie in the interval."""
    digits = 0
    while True:
        first = -(-(low << digits) >> scale)  # rounded up
        if (first + 1) << scale <= (low + width) << digits:
            return f"{first:0{digits}b}" if digits else ""
        digits += 1


def stacks(spec: dict) -> list[int]:
    """The integer after each step."""
    states, total = [int(spec["start"], 16)], 1 << spec["bits"]
    for kind, _, _, c, f in operations(spec, "stack"):
        frequencies = [c, f, total - c - f]  # what is below the symbol, it, what is above
        state = states[-1]
        states.append(
            pop(state, frequencies)[0] if kind == POP_CODE else push(state, 1, frequencies)
        )
    return states


def lengths(spec: dict, way: str) -> list[int]:
    """Bits that are out, or by which the stack has grown, after each step."""
    if way == "interval":
        return [len(out) for *_, out in intervals(spec)]
    states = stacks(spec)
    return [state.bit_length() - states[0].bit_length() for state in states]


def numbers(spec: dict) -> dict[str, float | int]:
    found = {"bits": ideal(spec, "stack")[-1], "stack": lengths(spec, "stack")[-1]}
    if not spec["codes"]:
        found |= {"exact": spec["exact"], "interval": lengths(spec, "interval")[-1]}
    return found


def _still(spec: dict, step: int, way: str):
    """The picture for print: the image, and the bits beside what they should be."""
    import matplotlib.pyplot as plt

    figure, (image, ax) = plt.subplots(
        1, 2, figsize=(7.2, 3.0), width_ratios=(1, 2.2), layout="constrained"
    )
    pixels = torch.tensor(spec["image"]).reshape(spec["shape"][1:])
    image.imshow(pixels, cmap="gray_r", vmin=0, vmax=1)
    image.set(xticks=[], yticks=[])
    wanted, found = ideal(spec, way), lengths(spec, way)
    what = "bits out" if way == "interval" else "growth of the stack, bits"
    ax.step(range(len(found)), found, where="post", color=WARM, label=what)
    ax.plot(wanted, "--", color=BLUE, label="−log₂ p so far")
    ax.axvline(step, color="#76828f", linewidth=0.8)
    ax.set(xlabel="step", ylabel="bits")
    ax.legend(frameon=False)
    return to_pixels(figure, dpi=110)
