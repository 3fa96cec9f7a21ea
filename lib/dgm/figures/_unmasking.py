r"""A masked diffusion model that draws in the page, and completes what its reader leaves over.

Draws go as in `MaskedDiffusion.sample`, a group of pixels at a time. The rule "value" is not the
library's, since it does not draw from the model: it draws all hidden pixels, keeps those whose
values were the likeliest, and hides the others again.
"""

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations, product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import plots
from ..checks import check_data, image_shape, integer
from ..models import MaskedDiffusion
from . import _network, _sampling
from ._formats import to_base64, to_pixels
from ._latent_plane import _round_up

RULES = {"random": "at random", "entropy": "by entropy", "value": "by the value drawn"}
IMAGES, COLUMNS = 12, 6
DRAWS = 120  # of which it is counted how many are different
MOST_STEPS = 64
COMPLETIONS = 6
HIDES = ("lower half", "right half", "two of three", "all")
STAGES = 5  # of the still picture


def unmasking(
    model: MaskedDiffusion,
    *,
    rule: str = "random",
    at_once: int | None = None,
    seed: int = 0,
    table: Tensor | None = None,
    caption: str = "",
    limit: int = 500_000,
):
    r"""Draw twelve binary images in the reader's browser, so many pixels at a time, by three rules.

    A hidden pixel is grey, with a square in it as large as its probability of ink. Beside the
    images stands how many different ones there are among 120 draws, and how far from a small table
    draws of the same rule are if the conditionals are exact.

    Args:
        model: a trained binary `MaskedDiffusion.mlp` of images, of up to about 350,000 weights.
        rule: which pixels come next at the start: "random" ones, those with the least "entropy", or
            those whose drawn "value" is the likeliest, which draws from something else.
        at_once: pixels in a step at the start. The choices are k, 2 k, 4 k, ... and all, where k is
            1 for up to 64 pixels and makes 64 steps at most for more; by default k.
        seed: of the draws at the start; the reader gets the next ones.
        table: (2^d,) probabilities of all vectors of d bits, in the order of
            `itertools.product((0, 1), repeat=d)`, with d from 1 to 5.
        caption: text below the figure.
        limit: the most bytes that the figure's data may take in a page.

    Returns:
        A widget; its `rule`, `at_once` and `seed` can be read, set and observed, and read: `images`
        (12, *shape), what the page draws, and `numbers`, a dictionary with `different`, how many
        different images are among so many `draws`, and with a table `tv`, the exact total variation
        between it and draws by this rule.

    Raises:
        ValueError: the model is none of these, a value is not among the choices, the table is no
            distribution, or the data exceed `limit`.

    >>> fig = unmasking(MaskedDiffusion.mlp((1, 4, 4), hidden=20), table=torch.ones(4) / 4)
    >>> fig.at_once, fig.images.shape, fig.numbers["draws"], round(fig.numbers["tv"], 6)
    (1, torch.Size([12, 1, 4, 4]), 120, 0.0)
    """
    from ._widgets import Unmasking

    drawer = Unmasker(model)
    sizes = group_sizes(math.prod(drawer.shape))
    at_once = sizes[0] if at_once is None else at_once
    if at_once not in sizes:
        raise ValueError(f"at_once: got {at_once!r}, expected one of {sizes}")
    if rule not in RULES:
        raise ValueError(f"rule: got {rule!r}, expected one of {list(RULES)}")
    values = {"rule": rule, "at_once": at_once, "seed": integer("seed", seed, at_least=0)}
    p = None if table is None else _check_table(table)
    settings = [[(name, size) for size in sizes] for name in RULES]
    spec = drawer.spec() | {
        "rules": [[name, words] for name, words in RULES.items()],
        "at_once": sizes,
        "images": IMAGES,
        "columns": COLUMNS,
        "draws": DRAWS,
        "different": [[drawer.different(*each) for each in row] for row in settings],
    }
    if p is not None:
        spec |= {"tv": [[distance(p, *each) for each in row] for row in settings]}
        spec |= {"bits": _bits(p)}
    spec["details"] = [drawer.about(), SQUARES, RULE, _exact_words(spec)]
    functions = {"draw": drawer.draws, "draw_still": partial(still, drawer.shape)}
    return Unmasking.within(limit, spec, **functions, **values, caption=caption)


def completing(
    model: MaskedDiffusion,
    x: Tensor,
    *,
    hide: str = "lower half",
    seed: int = 0,
    caption: str = "",
    limit: int = 500_000,
):
    """Hide pixels of an image, or set them, and see six draws of the rest.

    The reader switches pixels from hidden to ink, to paper and to hidden again. The network runs in
    the page; it draws hidden pixels in random order, one at a time for up to 64 pixels.

    Args:
        model, seed, caption, limit: as for `unmasking`, and so are its errors.
        x: (n, *shape), up to twelve binary images to start from.
        hide: what of the first is hidden at the start: "lower half", "right half", "two of three"
            pixels, or "all".

    Returns:
        A widget; its `state` (a list of D integers, 1 where there is ink, 0 where there is none, -1
        where it is hidden) and `seed` can be read, set and observed, and read: `images`
        (6, *shape), what the page draws, and `numbers`, a dictionary with `hidden`, how many are.

    >>> fig = completing(MaskedDiffusion.mlp((1, 4, 4), hidden=20), torch.ones(3, 1, 4, 4))
    >>> fig.numbers, fig.images[:, :, :2].unique()
    ({'hidden': 8}, tensor([1.]))
    """
    from ._widgets import Completing

    drawer = Unmasker(model)
    check_data(model, x)
    if len(x) > IMAGES:
        raise ValueError(f"x: got {len(x)} images, expected at most {IMAGES}")
    if hide not in HIDES:
        raise ValueError(f"hide: got {hide!r}, expected one of {list(HIDES)}")
    states = drawer.model.indices(x.cpu()).flatten(1)  # (n, D)
    masks = hidden_parts(drawer.shape)
    spec = drawer.spec() | {
        "starts": [_digits(state) for state in states],
        "hides": [[name, _digits(mask)] for name, mask in masks.items()],
        "hide": list(HIDES).index(hide),
        "at_once": group_sizes(states.shape[1])[0],
        "images": COMPLETIONS,
        "columns": 3,
    }
    spec["details"] = [drawer.about(), SQUARES]
    state = states[0].masked_fill(masks[hide], -1).tolist()
    values = {"state": state, "seed": integer("seed", seed, at_least=0)}
    draw = partial(drawer.completions, at_once=spec["at_once"])
    functions = {"draw": draw, "draw_still": partial(still_of_completions, drawer.shape)}
    return Completing.within(limit, spec, **functions, **values, caption=caption)


SQUARES = "The square in a hidden pixel has its probability of ink as its share of the area."
RULE = (
    "By the value drawn: all hidden pixels are drawn, those whose values have the highest "
    "probability are kept, and the others are hidden again."
)


def _exact_words(spec: dict) -> str:
    told = f"Different images are counted among {DRAWS} draws"
    if "tv" not in spec:
        return told + "."
    return told + (
        f". The total variation is that of all outcomes of {spec['bits']} bits whose conditionals "
        "are exact, drawn by the same rule in groups of the same size, or all at once."
    )


def group_sizes(d: int) -> list[int]:
    """How many of d coordinates may be drawn at a time: k, 2 k, 4 k, ..., d.

    >>> group_sizes(64), group_sizes(784)
    ([1, 2, 4, 8, 16, 32, 64], [13, 26, 52, 104, 208, 416, 784])
    """
    sizes = [math.ceil(d / MOST_STEPS)]
    while 2 * sizes[-1] < d:
        sizes.append(2 * sizes[-1])
    return sizes if sizes[-1] == d else [*sizes, d]


def hidden_parts(shape: tuple[int, ...]) -> dict[str, Tensor]:
    """What can be hidden by a name: (D,) truth values."""
    lower, right = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
    lower[..., shape[-2] // 2 :, :] = True
    right[..., shape[-1] // 2 :] = True
    many = _sampling.Uniforms(0)(*shape) < 2 / 3
    masks = (lower, right, many, torch.ones(shape, dtype=torch.bool))
    return {name: mask.flatten() for name, mask in zip(HIDES, masks, strict=True)}


def _digits(values: Tensor) -> str:
    """Zeros and ones as a text."""
    return "".join(str(int(v)) for v in values)


# ---------------------------------------------------------------- drawing


class Unmasker:
    """A model as the page has it, and what it draws: events are (n, D) integers, -1 is hidden."""

    def __init__(self, model: MaskedDiffusion):
        self.exact, self.model, self.packed = model, *rounded(model)
        self.shape = self.model.shape

    def spec(self) -> dict:
        """What the page has to know of it."""
        channels, height, width = self.shape
        return {
            "network": {"layers": self.packed.layers, "weights": to_base64(self.packed.weights)},
            "shape": list(self.shape),
            "size": [channels * height, width],  # channels one below the other
        }

    def draws(self, rule: str, at_once: int, seed: int, n: int = IMAGES) -> list:
        """x and the probabilities of ink at every stop, (n, D) each."""
        x = torch.full((n, math.prod(self.shape)), -1)
        return list(way(partial(log_odds, self.model), x, rule, at_once, seed))

    def completions(self, state: list[int], seed: int, at_once: int) -> list:
        """The same of one event of which some is known."""
        x = torch.tensor(state).expand(COMPLETIONS, -1)
        return list(way(partial(log_odds, self.model), x, "random", at_once, seed))

    def different(self, rule: str, at_once: int) -> int:
        """How many different images are among `DRAWS` draws."""
        return len(self.draws(rule, at_once, 0, DRAWS)[-1][0].unique(dim=0))

    def about(self) -> str:
        """Size and error, the largest one on the way of the first draws."""
        stops = self.draws("random", group_sizes(math.prod(self.shape))[0], 0)
        exact = [log_odds(self.exact, x).sigmoid() for x, _ in stops[:-1]]
        pairs = zip(exact, stops, strict=False)
        error = max(float((p - q).abs()[x < 0].max()) for p, (x, q) in pairs)
        kilobytes = len(self.packed.weights) / 1000
        return (
            f"The network runs in this page: {self.packed.count:,} weights in {kilobytes:.0f} kB, "
            "rounded to 8 bits. While twelve images are drawn, its probabilities differ from "
            f"PyTorch's by at most {_round_up(error)}."
        )


@torch.no_grad()
def rounded(model: MaskedDiffusion) -> tuple[MaskedDiffusion, _network.Packed]:
    """A copy of the model on the CPU, with the weights that the page will use, and these.

    Raises:
        ValueError: it is no binary masked diffusion of images by a perceptron.
    """
    if not isinstance(model, MaskedDiffusion):
        raise ValueError(f"model: got {type(model).__name__}, expected a MaskedDiffusion")
    if model.levels != 2 or not isinstance(model.network, nn.Sequential):
        raise ValueError(
            f"model: got one of {model.levels} levels with the network "
            f"{type(model.network).__name__}, expected a binary MaskedDiffusion.mlp"
        )
    image_shape(model.shape)
    model = copy.deepcopy(model).cpu().float()
    notes = _network.Notes()
    x = torch.zeros(1, *model.shape, 2, dtype=torch.float32, device="cpu")
    for layer in _network._plain_layers(model.network):
        x = notes.through(layer, x, "int8")
    return model, notes.packed(model.network, "int8")


@torch.no_grad()
def log_odds(model: MaskedDiffusion, x: Tensor) -> Tensor:
    """log p(ink) - log p(paper) of every pixel, given those that are not -1: (n, D)."""
    event = x.unflatten(1, model.shape).to(next(model.parameters()).device)
    out = model(event.clamp(min=0), event >= 0).double().cpu()  # (n, *shape, 2)
    return (out[..., 1] - out[..., 0]).flatten(1)


def way(
    logits: Callable[[Tensor], Tensor], x: Tensor, rule: str, at_once: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Reveal what is hidden in x, in groups: x and the probabilities of ones at each stop.

    As many must be hidden in every row. Numbers come in the order in which the page draws them:
    one for each coordinate that says when it is its turn, and then new ones in every step.
    """
    draw = _sampling.Uniforms(seed)
    turn, hidden = draw(*x.shape), int((x[0] < 0).sum())
    steps = math.ceil(hidden / at_once)
    for t in range(steps):
        odds = logits(x)
        yield x, odds.sigmoid()
        value = draw(*x.shape) < odds.sigmoid()
        likely = torch.where(value, odds, -odds)  # of the values drawn, rising with their p
        score = {"random": turn, "entropy": -odds.abs(), "value": -likely}[rule]
        score = score.masked_fill(x >= 0, torch.inf)
        many = hidden * (t + 1) // steps - hidden * t // steps
        x = torch.where(score.argsort(1).argsort(1) < many, value.long(), x)
    yield x, x.double()


# ---------------------------------------------------------------- exactly, on a small table


def _check_table(table: Tensor) -> Tensor:
    p = torch.as_tensor(table).double().cpu()
    d = _bits(p) if p.dim() == 1 and len(p) else 0
    if not 1 <= d <= 5 or len(p) != 2**d or not (p > 0).all() or not abs(p.sum() - 1) < 1e-4:
        raise ValueError(
            f"table: got {tuple(p.shape)} numbers of the sum {float(p.sum()):.6g}, expected 2^d "
            "positive probabilities, d from 1 to 5"
        )
    return p / p.sum()


def _bits(p: Tensor) -> int:
    return (len(p) - 1).bit_length()


def distance(p: Tensor, rule: str, at_once: int) -> float:
    """Total variation between p and draws by this rule with its own conditionals, exactly."""
    q = outcomes(tuple(p.tolist()), rule, min(at_once, _bits(p)))
    return 0.5 * (q - p).abs().sum().item()


def outcomes(p: tuple[float, ...], rule: str, at_once: int) -> Tensor:
    """The distribution of draws, (2^d,): all that can happen in each step, with its probability."""
    d = (len(p) - 1).bit_length()
    cells = list(product((0, 1), repeat=d))
    mass_of = dict(zip(cells, p, strict=True))

    def one(i: int, state: tuple[int, ...]) -> float:
        """p(x_i = 1 | what is not -1 in the state)."""
        fits = [x for x in cells if all(s in (-1, v) for s, v in zip(state, x, strict=True))]
        return sum(mass_of[x] for x in fits if x[i]) / sum(mass_of[x] for x in fits)

    now, steps = {(-1,) * d: 1.0}, math.ceil(d / at_once)
    for t in range(steps):
        after, many = defaultdict(float), d * (t + 1) // steps - d * t // steps
        for state, mass in now.items():
            ones = {i: one(i, state) for i in range(d) if state[i] < 0}
            for values in product((0, 1), repeat=len(ones)):
                value = dict(zip(ones, values, strict=True))
                chance = {i: p1 if value[i] else 1 - p1 for i, p1 in ones.items()}
                for group, share in _groups(rule, many, ones, chance):
                    new = tuple(value[i] if i in group else s for i, s in enumerate(state))
                    after[new] += mass * math.prod(chance.values()) * share
        now = after
    return torch.tensor([now.get(x, 0.0) for x in cells], dtype=torch.float64)


def _groups(rule: str, many: int, ones: dict, chance: dict) -> list[tuple[tuple, float]]:
    """Which may be revealed now, and with which probability."""
    if rule == "random":
        groups = list(combinations(ones, many))
        return [(group, 1 / len(groups)) for group in groups]
    sure = chance if rule == "value" else {i: abs(p1 - 0.5) for i, p1 in ones.items()}
    return [(tuple(sorted(sure, key=sure.get, reverse=True)[:many]), 1.0)]


# ---------------------------------------------------------------- still pictures


def cells(x: Tensor, p: Tensor, shape: tuple[int, ...], side: int = 8) -> Tensor:
    """Pixels as squares of so many pixels, those of -1 grey with a square inside: (n, 1, H, W)."""
    channels, height, width = shape
    r = (torch.arange(side) - (side - 1) / 2).abs() + 0.5
    ring = torch.maximum(r[:, None], r)[:, None]  # (side, 1, side), counted from the middle
    x, p = (v.reshape(-1, channels * height, 1, width, 1).double() for v in (x, p))
    inside = ring <= (side / 2 * p.sqrt()).round()  # (n, C * H, side, W, side)
    grey = torch.where(inside, 0.75, 0.25).to(x)
    size = (channels * height * side, width * side)
    return torch.where(x < 0, grey, x).reshape(-1, 1, *size).float()


def _apart(images: Tensor) -> Tensor:
    """With a margin, so that images stand apart."""
    return F.pad(images, [5, 5, 5, 5])


def still(shape: tuple[int, ...], stops: list):
    """The picture for print: rows at as many stops as there are stages."""
    at = sorted({round(k * (len(stops) - 1) / (STAGES - 1)) for k in range(STAGES)})
    rows = {f"step {k}": _apart(cells(*stops[k], shape)) for k in at}
    return to_pixels(plots.rows(rows).figure, dpi=110)


def still_of_completions(shape: tuple[int, ...], stops: list):
    """The picture for print: what is known, and what the draws make of it."""
    (x, p), (end, _) = stops[0], stops[-1]
    rows = {"known": _apart(cells(x, p, shape)), "draws": _apart(cells(end, end, shape))}
    return to_pixels(plots.rows(rows).figure, dpi=110)
