"""A grid of all codes of two symbols: what each of them stands for, and how often it occurs."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import plots
from ..checks import check_examples, image_shape
from ..heads.tokens import one_hot
from ..models import VQVAE
from ._formats import sixteen_levels, to_pixels

MOST_CODES = 32  # of a symbol
EXAMPLES = 4  # images with the same code
ROOM = 150_000  # bytes of pictures: more of them, or larger ones, are made smaller or fewer
SHOWS = {"images": "decoded images", "data": "share of the data", "prior": "prior"}


def codebook(
    model: VQVAE,
    x: Tensor,
    *,
    code: Sequence[int] | None = None,
    show: str = "images",
    caption: str = "",
    limit: int = 500_000,
):
    """All codes of two symbols in a plane; choose one by the pointer or by arrow keys.

    Beside it stand the image that the code is decoded to, how many of x have this code, which
    probability the model's prior gives it, and up to four of those images.

    Args:
        model: a `VQVAE` of images with two symbols, of up to 32 codes each.
        x: (N, *shape), the images to be encoded.
        code: (k_1, k_2) at the start, by default the most frequent one.
        show: what cells of the grid show at the start: the decoded "images", or as a shade the
            share of the "data" or the "prior".
        caption: text below the figure.
        limit: the most bytes that the figure's data may take in a page. Large images are shown at
            half their size, or a quarter.

    Returns:
        A widget; its `code` and `show` can be read, set and observed, and `numbers` read: a
        dictionary with the share of the `data` that has this code, its probability under the
        `prior`, and how many of all codes are `used` by x.

    Raises:
        ValueError: the model is none of these, x are no images of it, code or show is not among the
            choices, or the data exceed `limit`.

    >>> fig = codebook(VQVAE.mlp((1, 8, 8), symbols=2), torch.zeros(5, 1, 8, 8))
    >>> fig.numbers["data"], round(fig.numbers["prior"], 6), fig.numbers["used"]
    (1.0, 0.003906, 1)
    """
    from ._widgets import CodeGrid

    channels, *_ = _check(model, show)
    check_examples(model, x)
    with torch.no_grad():
        K = model.quantiser.codes
        every = torch.cartesian_prod(torch.arange(K), torch.arange(K))  # (K^2, 2)
        z = one_hot(every, K, like=x.cpu()).to(x.device)  # (K^2, 2, K)
        decoded = model.likelihood(z).mean.cpu().float().clamp(0, 1)  # (K^2, *shape)
        prior = model.prior().log_prob(z).double().exp().cpu()  # (K^2,)
    k = torch.cat([model.codes(part).cpu() for part in x.split(1000)])  # (N, 2)
    place = k[:, 0] * K + k[:, 1]  # (N,)
    counts = place.bincount(minlength=K * K)
    if code is None:
        code = every[counts.argmax()].tolist()
    if len(code) != 2 or not all(0 <= int(c) < K for c in code):
        raise ValueError(f"code: got {code}, expected two integers from 0 to {K - 1}")
    fold = _fold(decoded.shape)
    small = partial(F.avg_pool2d, kernel_size=fold)
    decoded = small(decoded)
    shown = _first(place, K * K, bytes_each=decoded[0].numel() // 2)  # indices of x, for each code
    examples = small(x[[i for each in shown for i in each]].cpu().float().clamp(0, 1))
    spec = {
        "codes": K,
        "shape": list(decoded.shape[1:]),
        "decoded": sixteen_levels(decoded.flatten(1)),
        "examples": sixteen_levels(examples.flatten(1)),
        "shown": [len(each) for each in shown],
        "counts": counts.tolist(),
        "prior": [float(f"{p:.5g}") for p in prior.tolist()],
        "shows": [[name, words] for name, words in SHOWS.items()],
        "details": [_details(K, len(x), counts, fold)],
    }
    numbers = partial(_numbers, counts, prior, K)
    draw = partial(_still, decoded, examples, spec, numbers)
    values = {"code": [int(c) for c in code], "show": show}
    functions = {"measure": numbers, "draw_still": draw}
    return CodeGrid.within(limit, spec, **functions, **values, caption=caption)


def _check(model, show: str) -> tuple[int, int, int]:
    if not isinstance(model, VQVAE):
        raise ValueError(f"model: got {type(model).__name__}, expected a dgm.models.VQVAE")
    symbols, codes = model.prior().event_shape
    if symbols != 2 or codes > MOST_CODES:
        raise ValueError(
            f"model: got {symbols} symbols of {codes} codes, expected two of at most {MOST_CODES}"
        )
    shape = image_shape(model.shape)
    if shape[0] not in (1, 3):
        raise ValueError(f"model: got one of {shape[0]} channels, expected images of 1 or 3")
    if show not in SHOWS:
        raise ValueError(f"show: got {show!r}, expected one of {list(SHOWS)}")
    return shape


def _fold(shape: torch.Size) -> int:
    """By which factor images (N, C, H, W) are made smaller."""
    n, c, h, w = shape
    return next(f for f in (1, 2, 4, 8, 16) if f == 16 or n * c * (h // f) * (w // f) / 2 <= ROOM)


def _first(place: Tensor, codes: int, bytes_each: int) -> list[list[int]]:
    """For each code the first images that have it, four or, if that is too much, fewer."""
    members: list[list[int]] = [[] for _ in range(codes)]
    for i, k in enumerate(place.tolist()):
        members[k].append(i)
    for most in range(EXAMPLES, 0, -1):
        kept = [each[:most] for each in members]
        if sum(map(len, kept)) * bytes_each <= ROOM:
            break
    return kept


def _details(codes: int, n: int, counts: Tensor, fold: int) -> str:
    less = f" Images are shown at 1/{fold} of their height and width." if fold > 1 else ""
    return (
        f"{n:,} images were encoded; {int((counts > 0).sum())} of {codes**2} codes occur. If all "
        f"were equally likely, each had {100 / codes**2:.2g} %. Decoded images of codes that do "
        f"not occur are pale.{less}"
    )


def _numbers(counts: Tensor, prior: Tensor, K: int, code: Sequence[int]) -> dict[str, float]:
    at = code[0] * K + code[1]
    share = counts[at].item() / counts.sum().item()
    return {"data": share, "prior": prior[at].item(), "used": int((counts > 0).sum())}


def _still(decoded: Tensor, examples: Tensor, spec: dict, numbers, code, show: str):
    """The picture for print: the grid with a mark, the decoded image, images that have the code."""
    import matplotlib.pyplot as plt

    K, at = spec["codes"], code[0] * spec["codes"] + code[1]
    figure, (grid, image, few) = plt.subplots(
        1, 3, figsize=(7.2, 3.4), layout="constrained", width_ratios=(3, 1, 1)
    )
    if show == "images":  # k_1 to the right, k_2 up
        c, paper = decoded.shape[1], float(decoded.shape[1] == 3)  # grey is ink, 0 is white
        empty = (torch.tensor(spec["counts"]) == 0)[:, None, None, None]
        pictures = torch.where(empty, paper + 0.35 * (decoded - paper), decoded)
        pictures = F.pad(pictures, [1, 1, 1, 1], value=paper)
        pictures = pictures.unflatten(0, (K, K)).transpose(0, 1).flip(0).flatten(0, 1)
        h, w = pictures.shape[2:]
        mosaic = pictures.reshape(K, K, c, h, w).permute(0, 3, 1, 4, 2).reshape(K * h, K * w, c)
        look = mosaic.numpy() if c == 3 else 1 - mosaic[..., 0].numpy()
        limits = {"vmin": 0, "vmax": 1}
    else:
        look = torch.tensor(spec["counts" if show == "data" else "prior"]).double()
        look, limits = -look.reshape(K, K).T.flip(0).sqrt().numpy(), {}
    box = (-0.5, K - 0.5, -0.5, K - 0.5)
    grid.imshow(look, cmap="gray", extent=box, interpolation="nearest", **limits)
    square = ([-0.5, 0.5, 0.5, -0.5, -0.5], [-0.5, -0.5, 0.5, 0.5, -0.5])
    grid.plot(*([v + c for v in side] for side, c in zip(square, code, strict=True)), color="C1")
    grid.set(xlabel="$k_1$", ylabel="$k_2$")
    plots.grid(decoded[at : at + 1], ax=image)
    n = numbers(code)
    image.set_title(
        f"({code[0]}, {code[1]}): {100 * n['data']:.1f} %,\nprior {100 * n['prior']:.1f} %"
    )
    before = sum(spec["shown"][:at])
    mine = examples[before : before + spec["shown"][at]]
    if len(mine):
        plots.grid(mine, columns=1, ax=few)
    few.set_title("images of it")
    few.axis("off")
    return to_pixels(figure, dpi=110)
