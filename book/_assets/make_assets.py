"""Draw the book's pictures: the landing page's map and parts, the social preview and the icon.

    python book/_assets/make_assets.py

A small variational autoencoder with two latent variables is trained on the 8x8 digits that
scikit-learn ships (under a minute on a laptop). The map shows what its decoder draws for every
point of a grid in the latent plane. What the parts of the book make is drawn from recorded models,
and for part I from a mixture that is fitted here. The pictures are committed: the build does not
run this file.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import dgm
from dgm.reproduce import load

HERE = Path(__file__).parent
INK = "#101c2e"  # the ground of all three pictures: they look the same in both themes
PAPER = "#e8eef7"
MUTED = "#9db4d0"
CORNERS = ("#7de0d0", "#ffc97a"), ("#7fb8ff", "#f59ac0")  # top left, right; bottom left, right


def train(x: torch.Tensor, steps: int = 9000, seed: int = 4):
    """Fit a VAE with a two-dimensional code to x (B, 64) in [0, 1]; return encoder, decoder."""
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 4))
    decoder = nn.Sequential(
        nn.Linear(2, 256), nn.GELU(), nn.Linear(256, 256), nn.GELU(), nn.Linear(256, 64)
    )
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        batch = x[torch.randint(len(x), (256,))]
        mean, log_sigma = encoder(batch).chunk(2, dim=-1)
        z = mean + log_sigma.exp() * torch.randn_like(mean)
        log_likelihood = -F.mse_loss(decoder(z), batch, reduction="none").sum(-1) / (2 * 0.2**2)
        kl = 0.5 * (mean**2 + (2 * log_sigma).exp() - 1 - 2 * log_sigma).sum(-1)
        loss = -(log_likelihood - kl).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return encoder, decoder


def colours(columns: int, rows: int) -> np.ndarray:
    """A smooth field of colours between four corners: (rows, columns, 3) in [0, 1]."""
    top, bottom = (np.array([rgb(left), rgb(right)]) for left, right in CORNERS)
    down, across = np.linspace(0, 1, rows), np.linspace(0, 1, columns)
    edges = [np.outer(1 - across, side[0]) + np.outer(across, side[1]) for side in (top, bottom)]
    return np.einsum("i,jk->ijk", 1 - down, edges[0]) + np.einsum("i,jk->ijk", down, edges[1])


def rgb(colour: str) -> np.ndarray:
    """The three channels of "#rrggbb", each in [0, 1]."""
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def plane(columns: int, rows: int) -> torch.Tensor:
    """A grid (rows, columns, 2) that spreads evenly over the prior: quantiles of the normal."""
    normal = torch.distributions.Normal(0.0, 1.0)
    across = normal.icdf((torch.arange(columns) + 0.5) / columns)
    up = normal.icdf((torch.arange(rows, 0, -1) - 0.5) / rows)
    return torch.stack(torch.meshgrid(across, up, indexing="xy"), dim=-1)


def draw_map(decoder, columns: int, rows: int, scale: int, gap: int) -> Image.Image:
    """The decoder's pictures of the latent plane, each 8x8 pixels enlarged `scale` times."""
    with torch.no_grad():
        images = decoder(plane(columns, rows)).clamp(0, 1)
    return tiled(images.reshape(rows, columns, 8, 8), scale, gap)


def tiled(images: torch.Tensor, scale: int, gap: int) -> Image.Image:
    """Images (rows, columns, S, S) in [0, 1] side by side, in the colours of their places."""
    rows, columns, size, _ = images.shape
    ground = rgb(INK)
    tint = colours(columns, rows)[:, :, None, None, :]
    pixels = ground + images.cpu().numpy()[..., None] * (tint - ground)
    pixels = pixels.repeat(scale, axis=2).repeat(scale, axis=3)
    side = size * scale + gap
    frame = np.broadcast_to(ground, (rows, columns, side, side, 3)).copy()
    frame[:, :, :-gap, :-gap] = pixels
    picture = frame.transpose(0, 2, 1, 3, 4).reshape(rows * side, columns * side, 3)
    return Image.fromarray((255 * picture[:-gap, :-gap]).astype("uint8"))


# ---------------------------------------------------------------- what the parts make


def prototypes(columns: int, rows: int) -> torch.Tensor:
    """Part I: the means of a mixture that EM fits to the digits."""
    torch.manual_seed(0)
    data = dgm.data.load("digits")
    x = data.train.images.bernoulli()
    mixture = dgm.models.BernoulliMixture(data.shape, components=columns * rows).initialize(x)
    step = dgm.train.em_step(mixture)
    for _ in range(40):
        step((x,))
    return mixture.logits.sigmoid().detach().reshape(rows, columns, 8, 8)


def map_of_codes(columns: int, rows: int) -> torch.Tensor:
    """Part II: what the recorded convolutional VAE draws on its latent plane."""
    model = load("conv-vae-plane").model()
    z = plane(columns, rows).reshape(-1, 2).to(dgm.device())
    with torch.no_grad():
        return model.likelihood(z).mean.reshape(rows, columns, 28, 28)


def games(columns: int, rows: int) -> torch.Tensor:
    """Part III: draws of the recorded generators."""
    torch.manual_seed(1)
    draws = load("wgan-gp-5min").model().sample(columns * rows)
    return draws.detach().reshape(rows, columns, 28, 28)


def emerged(columns: int, rows: int) -> torch.Tensor:
    """Part IV: draws of the recorded diffusion model, all classes in turn."""
    torch.manual_seed(0)
    y = torch.arange(columns * rows, device=dgm.device()) % 10
    draws = load("diffusion").model().sample(len(y), y, steps=30)
    return draws.clamp(0, 1).reshape(rows, columns, 28, 28)


def spelled(columns: int, rows: int) -> torch.Tensor:
    """Part V: what the recorded VQ-VAE decodes from symbols that its prior wrote."""
    torch.manual_seed(0)
    model = load("vq-vae").model()
    with torch.no_grad():
        means = model.likelihood(model.prior().sample((columns * rows,))).mean
    return means.reshape(rows, columns, 28, 28)


def save(picture: Image.Image, name: str, palette: int = 96) -> None:
    """Write a PNG with few colours: a quarter of the size, and no difference to the eye."""
    picture.quantize(palette, dither=Image.Dither.NONE).save(HERE / name, optimize=True)


def draw_social(decoder) -> Image.Image:
    """The preview that other sites show, 1200x630: the title over a strip of the map."""
    strip = draw_map(decoder, columns=19, rows=4, scale=6, gap=16)
    figure = plt.figure(figsize=(12, 6.3), dpi=100, facecolor=INK)
    figure.text(0.06, 0.795, "Deep Generative Models", color=PAPER, size=50, weight="bold")
    figure.text(0.06, 0.70, "an executable course", color=MUTED, size=31)
    figure.text(0.06, 0.595, "Every equation is checked. Every number is computed on the page.",
                color=PAPER, size=22)  # fmt: skip
    axes = figure.add_axes((0.02, 0.04, 0.96, 0.46))
    axes.imshow(strip, aspect="equal")
    axes.axis("off")
    figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])
    plt.close(figure)
    return picture


def draw_icon(digit: np.ndarray) -> str:
    """An 8x8 digit as an SVG of squares on a rounded ground."""
    squares = "".join(
        f'<rect x="{x + 1}" y="{y + 1}" width="1.02" height="1.02" opacity="{v / 16:.2f}"/>'
        for (y, x), v in np.ndenumerate(digit)
        if v > 1
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10">'
        f'<rect width="10" height="10" rx="2" fill="{INK}"/><g fill="#8fd3ff">{squares}</g></svg>\n'
    )


def main() -> None:
    digits = load_digits()
    x = torch.tensor(digits.data / 16, dtype=torch.float32)
    _, decoder = train(x)
    save(draw_map(decoder, columns=26, rows=10, scale=4, gap=12), "map.png")
    save(draw_social(decoder), "social.png", palette=128)
    save(tiled(prototypes(8, 6), scale=7, gap=14), "part-1.png", palette=32)
    save(tiled(map_of_codes(8, 6), scale=2, gap=14), "part-2.png", palette=32)
    save(tiled(games(8, 6), scale=2, gap=14), "part-3.png", palette=32)
    save(tiled(emerged(8, 6), scale=2, gap=14), "part-4.png", palette=32)
    save(tiled(spelled(8, 6), scale=2, gap=14), "part-5.png", palette=32)
    (HERE / "icon.svg").write_text(draw_icon(digits.images[13]))


if __name__ == "__main__":
    main()
