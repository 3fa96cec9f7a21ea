r"""Networks that are told the noise level, and a label: events in, events of the same shape out.

Both read the level as $\lambda = \log \mathrm{SNR}$, not as a time: what a network has to do
depends on how much noise there is, and not on the path by which it came. They start as zero.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .checks import event_shape, image_shape, integer

WAVES, FEATURES = 16, 48  # of the noise level


class LevelFeatures(nn.Module):
    r"""$\lambda$ and a label as a vector: sines and cosines of $\lambda / 4$ at 16 frequencies,
    two layers, and a learned vector for each class.

    y = -1 is an example without a label, which has a vector of its own: one network then knows the
    data of each class and those of all.

    Shapes: log_snr (B,), y (B,) or None without classes -> (B, 48).
    """

    def __init__(self, classes: int = 0):
        super().__init__()
        self.classes = integer("classes", classes, at_least=0)
        octaves = torch.linspace(0, 4, WAVES)  # periods of lambda from 25 down to 1.6
        self.register_buffer("frequencies", 2**octaves / 4, persistent=False)
        self.body = nn.Sequential(
            nn.Linear(2 * WAVES, FEATURES), nn.SiLU(), nn.Linear(FEATURES, FEATURES)
        )
        if classes:
            self.vectors = nn.Embedding(classes + 1, FEATURES)  # the first is that of no label

    def forward(self, log_snr: Tensor, y: Tensor | None = None) -> Tensor:
        phase = log_snr.clamp(-20, 20)[:, None] * self.frequencies  # (B, 16), finite at both ends
        features = self.body(torch.cat([phase.sin(), phase.cos()], 1))  # (B, 48)
        return features + self.vectors(y.long() + 1) if self.classes else features


class Film(nn.Module):
    """Scale and shift every channel by what features say: (B, C, ...), (B, F) -> (B, C, ...).

    It starts as the identity.

    Source: Perez et al. (2018), arXiv:1709.07871, FiLM: Visual Reasoning with a General
    Conditioning Layer.
    """

    def __init__(self, features: int, channels: int):
        super().__init__()
        self.layer = zero(nn.Linear(features, 2 * channels))

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        scale, shift = self.layer(features).chunk(2, dim=1)  # (B, C) each
        places = [1] * (x.dim() - 2)
        return torch.addcmul(
            shift.view(*shift.shape, *places), x, 1 + scale.view(*scale.shape, *places)
        )


class Block(nn.Module):
    r"""$h + F(h, \text{features})$, with F two layers, each after a normalisation and a SiLU, and
    the features between them. The second layer starts as zero, the block as the identity.

    Args:
        norm: norm(channels) -> a normalisation.
        layer: layer(c_in, c_out) -> a linear layer or a convolution.
        widen: widen(c_in, c_out) -> what fits h to the output, where the channels differ.
    """

    def __init__(self, norm, layer, widen, c_in: int, c_out: int):
        super().__init__()
        self.before = nn.Sequential(norm(c_in), nn.SiLU(), layer(c_in, c_out), norm(c_out))
        self.film = Film(FEATURES, c_out)
        self.after = nn.Sequential(nn.SiLU(), zero(layer(c_out, c_out)))
        self.skip = nn.Identity() if c_in == c_out else widen(c_in, c_out)

    def forward(self, h: Tensor, features: Tensor) -> Tensor:
        return self.skip(h) + self.after(self.film(self.before(h), features))


class ResidualPerceptron(nn.Module):
    """A perceptron of residual blocks, for events of any shape.

    Args:
        shape: the event's.
        width: of the hidden layers.
        blocks: how many.
        classes: 0 where there are no labels.

    Shapes: x (B, *shape), log_snr (B,), y (B,) -> (B, *shape).

    Raises:
        ValueError: a size is no positive integer.

    >>> ResidualPerceptron((2,))(torch.zeros(5, 2), torch.zeros(5)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self, shape: int | Sequence[int], width: int = 128, blocks: int = 3, classes: int = 0
    ):
        super().__init__()
        shape, width = event_shape(shape), integer("width", width)
        d = math.prod(shape)
        self.features = LevelFeatures(classes)
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(d, width))
        self.blocks = nn.ModuleList(
            Block(nn.LayerNorm, nn.Linear, nn.Linear, width, width)
            for _ in range(integer("blocks", blocks))
        )
        self.last = nn.Sequential(nn.SiLU(), zero(nn.Linear(width, d)), nn.Unflatten(1, shape))

    def forward(self, x: Tensor, log_snr: Tensor, y: Tensor | None = None) -> Tensor:
        features, h = self.features(log_snr, y), self.first(x)  # (B, 48), (B, width)
        for block in self.blocks:
            h = block(h, features)
        return self.last(h)


class UNet(nn.Module):
    """A small U-Net: convolutions at full size and at half, joined by what the first ones saw.

    Of images above 16 pixels each square of four becomes one place with four channels, so that all
    sizes are halved, and the network is twice as wide. 47,105 weights for 8x8 digits of 10 classes,
    243,028 for 28x28.

    Args:
        shape: (channels, height, width).
        width: channels at the full size, of images that are not folded.
        classes: 0 where there are no labels.

    Shapes: x (B, C, H, W), log_snr (B,), y (B,) -> (B, C, H, W).

    Raises:
        ValueError: a size is no positive integer, or the shape is not an image's.

    Source: Ronneberger, Fischer and Brox (2015), arXiv:1505.04597; Ho, Jain and Abbeel (2020),
    arXiv:2006.11239, for the one of denoising, of which this is a hundredth.

    >>> net = UNet((1, 28, 28), classes=10)
    >>> sum(p.numel() for p in net.parameters())
    243028
    >>> net(torch.zeros(5, 1, 28, 28), torch.zeros(5), torch.arange(5)).shape
    torch.Size([5, 1, 28, 28])
    """

    def __init__(self, shape: Sequence[int], width: int = 16, classes: int = 0):
        super().__init__()
        channels, *size = image_shape(shape)
        fold = 2 if max(size) > 16 and not any(side % 2 for side in size) else 1
        width = fold * integer("width", width)
        c, wide = channels * fold**2, 2 * width
        self.features = LevelFeatures(classes)
        self.first = nn.Sequential(nn.PixelUnshuffle(fold), conv(c, width))  # (B, width, H, W)
        self.down = image_block(width, width)
        self.halve = nn.Conv2d(width, wide, 3, stride=2, padding=1)  # (B, 2 width, H/2, W/2)
        self.middle = nn.ModuleList(image_block(wide, wide) for _ in range(fold))
        self.narrow = nn.Conv2d(wide, width, 1)
        self.up = image_block(wide, width)
        self.last = nn.Sequential(nn.SiLU(), zero(conv(width, c)), nn.PixelShuffle(fold))

    def forward(self, x: Tensor, log_snr: Tensor, y: Tensor | None = None) -> Tensor:
        features = self.features(log_snr, y)  # (B, 48)
        fine = self.down(self.first(x), features)  # (B, width, H, W)
        h = self.halve(fine)  # (B, 2 width, H/2, W/2)
        for block in self.middle:
            h = block(h, features)
        h = nn.functional.interpolate(self.narrow(h), size=fine.shape[-2:])  # (B, width, H, W)
        return self.last(self.up(torch.cat([h, fine], 1), features))


def image_block(c_in: int, c_out: int) -> Block:
    """A `Block` of feature maps: (B, c_in, H, W), (B, 48) -> (B, c_out, H, W)."""
    return Block(group_norm, conv, lambda i, o: nn.Conv2d(i, o, 1), c_in, c_out)


def group_norm(channels: int) -> nn.GroupNorm:
    """A normalisation over 8 groups of channels, or as many as divide them."""
    return nn.GroupNorm(math.gcd(8, channels), channels)


def conv(c_in: int, c_out: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(c_in, c_out, 3, padding=1)


def zero(layer: nn.Module) -> nn.Module:
    """The layer, whose output starts as zero."""
    for p in layer.parameters():
        nn.init.zeros_(p)
    return layer
