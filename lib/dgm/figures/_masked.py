r"""Hidden coordinates that are revealed in groups, as the page does it, and exactly on a table.

Draws go as in `MaskedDiffusion.sample`. The rule "value" is not the library's, since it does not
draw from the model: it draws all that is hidden, keeps those coordinates whose values were the
likeliest, and hides the others again.
"""

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations, product

import torch
from torch import Tensor, nn

from ..checks import image_shape
from ..models import MaskedDiffusion
from . import _network, _sampling


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
    try:
        for layer in _network._plain_layers(model.network):
            x = notes.through(layer, x, "int8")
    except ValueError as error:  # a layer that the page does not know
        raise ValueError(f"model: {str(error).removeprefix('decoder: ')}") from error
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


def bits(p: Tensor) -> int:
    return (len(p) - 1).bit_length()


def distance(p: Tensor, rule: str, at_once: int) -> float:
    """Total variation between p and draws by this rule with its own conditionals, exactly."""
    q = outcomes(tuple(p.tolist()), rule, min(at_once, bits(p)))
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
