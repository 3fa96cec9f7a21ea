"""PixelCNN: convolutions that look up and to the left, and their gated form without blind spot."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...checks import image_shape, integer
from ...nets import ClassEmbedding
from .base import Autoregressive


class PixelCNN(Autoregressive):
    r"""Every conditional by the same masked convolutions, on the pixels above and to the left.

    Pixels are drawn row by row, the channels of a pixel one after the other. A layer with a k x k
    mask reaches k // 2 pixels further. Each reaches up and to the right only along a slope, so
    that some pixels to the upper right are never seen, however many layers there are: the blind
    spot. `GatedPixelCNN` has none.

    Args:
        shape: (C, H, W) of an image. Pixels enter as grey values, not as indicators.
        levels, classes: as for every autoregressive model. The order is fixed.
        width: features per layer, rounded up to a multiple of C.
        layers: residual layers with a 3 x 3 mask, after a first one with 7 x 7.

    Raises:
        ValueError: shape is not (C, H, W), for example (2,).

    Equation: eq-blind-spot

    Source: van den Oord, Kalchbrenner and Kavukcuoglu (2016), arXiv:1601.06759, Pixel Recurrent
    Neural Networks, section 3.

    >>> model = PixelCNN((1, 8, 8))
    >>> model.log_prob(torch.ones(5, 1, 8, 8)).shape, model.sample(3).shape
    (torch.Size([5]), torch.Size([3, 1, 8, 8]))
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        levels: int = 2,
        width: int = 64,
        layers: int = 6,
        classes: int = 0,
    ):
        shape = image_shape(shape)
        channels = shape[0]
        super().__init__(shape, levels, raster(shape), classes)
        width, layers = integer("width", width), integer("layers", layers)
        width = -(-width // channels) * channels
        self.first = CausalConv(channels, channels, width, (4, 7), strict=True)
        self.spatial = nn.ModuleList(
            CausalConv(channels, width, width, (2, 3)) for _ in range(layers)
        )
        self.pointwise = nn.ModuleList(CausalConv(channels, width, width) for _ in range(layers))
        self.last = CausalConv(channels, width, channels * (self.levels - 1))
        self.label = ClassEmbedding(self.classes, width)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        h = self.first(x) + self.label(y, len(x))[..., None, None]  # (B, width, H, W)
        for spatial, pointwise in zip(self.spatial, self.pointwise, strict=True):
            h = h + pointwise(spatial(h.relu()).relu())
        return by_channel(self.last(h.relu()), self.shape[0])

    def incremental(self, x: Tensor, y: Tensor | None = None) -> Iterator[Tensor]:
        """Keeps the feature maps: the layers are evaluated at one pixel, and not at all H W."""
        (channels, height, width), m = self.shape, self.levels - 1
        x, label = x.unflatten(1, self.shape), self.label(y, len(x))
        first, last = self.first.at_pixel(), self.last.at_pixel()
        image = self.first.canvas(len(x), height, width)
        layers = [
            (spatial.canvas(len(x), height, width), spatial.at_pixel(), pointwise.at_pixel())
            for spatial, pointwise in zip(self.spatial, self.pointwise, strict=True)
        ]
        for i, j, c in product(range(height), range(width), range(channels)):
            h = first(image, i, j) + label  # (B, width)
            for canvas, spatial, pointwise in layers:
                canvas[:, :, i + 1, j + 1] = h.relu()  # + 1: one row above, one column beside
                h = h + pointwise(spatial(canvas, i, j).relu())
            yield last(h.relu())[:, c * m : (c + 1) * m]
            image[:, c, i + 3, j + 3] = x[:, c, i, j]


class GatedPixelCNN(Autoregressive):
    r"""PixelCNN with two stacks of layers, which together see all pixels that came before.

    The *vertical* stack v sees the rows above, as wide as its layers reach; the *horizontal* stack
    h sees what is to the left in the same row, and at each layer what v has found there:

        a = W_v * v,    b = W_h * h + W a + V y,    v' = gate(a),    h' = h + W' gate(b),

    with gate(a_1, a_2) = tanh(a_1) sigmoid(a_2). The logits are made of h.

    Args:
        shape: (C, H, W) of an image. Pixels enter as grey values, not as indicators.
        levels, classes: as for every autoregressive model. The order is fixed.
        width: features per layer and stack, rounded up to a multiple of C.
        layers: number of layers; the first has masks of 7 x 7, the others of 3 x 3.

    Raises:
        ValueError: shape is not (C, H, W), for example (2,).

    Source: van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves and Kavukcuoglu (2016),
    arXiv:1606.05328, Conditional Image Generation with PixelCNN Decoders, sections 2.1 to 2.3.

    >>> model = GatedPixelCNN((1, 8, 8), classes=10)
    >>> model.sample(3, y=torch.tensor([7, 7, 7])).shape
    torch.Size([3, 1, 8, 8])
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        levels: int = 2,
        width: int = 32,
        layers: int = 7,
        classes: int = 0,
    ):
        shape = image_shape(shape)
        channels = shape[0]
        super().__init__(shape, levels, raster(shape), classes)
        width, layers = integer("width", width), integer("layers", layers)
        width = -(-width // channels) * channels
        first = GatedLayer(channels, channels, width, 7, self.classes, first=True)
        others = (GatedLayer(channels, width, width, 3, self.classes) for _ in range(layers - 1))
        self.layers = nn.ModuleList([first, *others])
        self.inner = CausalConv(channels, width, width)
        self.last = CausalConv(channels, width, channels * (self.levels - 1))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        v = h = x
        for layer in self.layers:
            v, h = layer(v, h, y)  # (B, width, H, W) each
        return by_channel(self.last(self.inner(h.relu()).relu()), self.shape[0])

    def incremental(self, x: Tensor, y: Tensor | None = None) -> Iterator[Tensor]:
        """Keeps rows: v for a whole row at once, as it needs no more than the rows above."""
        (channels, height, width), m = self.shape, self.levels - 1
        x, n = x.unflatten(1, self.shape), len(x)
        first, *others = [layer.at_pixel() for layer in self.layers]
        inner, last = self.inner.at_pixel(), self.last.at_pixel()
        bands = [layer.band(n, width) for layer in self.layers]
        for i in range(height):
            row = x[:, :, i - 1] if i else torch.zeros_like(x[:, :, 0])  # (B, C, W), the one above
            found = []  # by v, for the h of each layer: (B, 2 width, W)
            for layer, band in zip(self.layers, bands, strict=True):
                row, here = layer.vertical_row(row, band, y)
                found.append(here)
            lines = [layer.horizontal.canvas(n, 1, width) for layer in self.layers]
            for j, c in product(range(width), range(channels)):
                h = first(lines[0], found[0], j)  # (B, width)
                for layer, line, here in zip(others, lines[1:], found[1:], strict=True):
                    line[:, :, 0, j + 1] = h  # + 1: one column of padding
                    h = h + layer(line, here, j)
                yield last(inner(h.relu()).relu())[:, c * m : (c + 1) * m]
                lines[0][:, c, 0, j + 3] = x[:, c, i, j]


class GatedLayer(nn.Module):
    """One layer of both stacks: v (B, c_in, H, W), h (B, c_in, H, W) -> (B, width, H, W) each.

    The first layer of a model has x itself for v and h. There v is shifted down by a row, and h
    leaves the pixel itself out; it has no residual connection.
    """

    def __init__(self, channels, c_in, width, kernel, classes, first=False):
        super().__init__()
        self.first, self.beside = first, kernel // 2
        self.vertical = nn.Conv2d(c_in, 2 * width, (kernel // 2 + 1, kernel))
        self.horizontal = CausalConv(channels, c_in, 2 * width, (1, kernel), strict=first)
        self.link = nn.Conv2d(2 * width, 2 * width, 1)
        self.out = CausalConv(channels, width, width)
        self.label = ClassEmbedding(classes, 2 * width)

    def forward(self, v: Tensor, h: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        r, shift = self.beside, int(self.first)
        a = self.vertical(F.pad(v, (r, r, r + shift, -shift)))  # (B, 2 width, H, W)
        b = self.horizontal(h) + self.link(a) + self.label(y, len(h))[..., None, None]
        out = self.out(gate(b))
        return gate(a), out if self.first else h + out

    def band(self, n: int, width: int) -> Tensor:
        """Room for the rows of v that the vertical convolution covers: (n, c_in, rows, W)."""
        conv = self.vertical
        return conv.weight.new_zeros(n, conv.in_channels, conv.kernel_size[0], width)

    def vertical_row(self, row: Tensor, band: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """One row of v, (B, c_in, W), to the next layer's and to what h takes from it.

        The row moves into the band from below.
        """
        band.copy_(torch.cat([band[:, :, 1:], row.unsqueeze(2)], 2))
        a = self.vertical(F.pad(band, (self.beside, self.beside)))  # (B, 2 width, 1, W)
        return gate(a)[:, :, 0], self.link(a)[:, :, 0] + self.label(y, len(row)).unsqueeze(-1)

    def at_pixel(self) -> Callable[[Tensor, Tensor, int], Tensor]:
        """What the layer adds to h at column j of one row: a function -> (B, width)."""
        horizontal, out = self.horizontal.at_pixel(), self.out.at_pixel()
        return lambda line, found, j: out(gate(horizontal(line, 0, j) + found[:, :, j]))


def gate(a: Tensor) -> Tensor:
    """tanh(a_1) sigmoid(a_2), the two in turns: (B, 2 width, ...) -> (B, width, ...)."""
    return a[:, ::2].tanh() * a[:, 1::2].sigmoid()


class CausalConv(nn.Conv2d):
    """A convolution that at a pixel sees what comes before it: rows above, and to the left.

    Features belong to the channels of the image, in equal groups. At the pixel itself a group sees
    those of earlier channels and, unless `strict`, its own. (In a network the first convolution is
    strict, and its input is x; the others take features, which do not know their own channel.)

    Args:
        channels: of the image.
        kernel: (rows, columns); the last row is that of the pixel, which is in its middle.

    Shapes: (B, c_in, H, W) -> (B, c_out, H, W).
    """

    def __init__(self, channels, c_in, c_out, kernel=(1, 1), strict=False):
        super().__init__(c_in, c_out, kernel)
        self.above, self.beside = kernel[0] - 1, kernel[1] // 2
        mask = torch.ones_like(self.weight, dtype=torch.bool)
        mask[:, :, -1, self.beside + 1 :] = False
        # the channels that the features belong to
        target = (torch.arange(c_out) * channels // c_out).unsqueeze(1)
        source = torch.arange(c_in) * channels // c_in
        mask[:, :, -1, self.beside] = target > source if strict else target >= source
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, h: Tensor) -> Tensor:
        h = F.pad(h, (self.beside, self.beside, self.above, 0))
        return F.conv2d(h, self.mask * self.weight, self.bias)

    def canvas(self, n: int, height: int, width: int) -> Tensor:
        """An empty input with its padding, to be filled pixel by pixel."""
        size = (height + self.above, width + 2 * self.beside)
        return self.weight.new_zeros(n, self.in_channels, *size)

    def at_pixel(self) -> Callable[..., Tensor]:
        """The convolution at one pixel alone: a function of (canvas, i, j) -> (B, c_out).

        One of a single pixel, 1 x 1, is a function of that pixel's features, (B, c_in).
        """
        rows, columns = self.kernel_size
        weight, bias = (self.mask * self.weight).flatten(1), self.bias
        if rows == columns == 1:
            return lambda h: F.linear(h, weight, bias)
        return lambda canvas, i, j: F.linear(
            canvas[:, :, i : i + rows, j : j + columns].flatten(1), weight, bias
        )


def raster(shape: Sequence[int]) -> Tensor:
    """Row by row, and within a pixel channel by channel: (D,), coordinates of the flat event.

    >>> raster((2, 1, 3))
    tensor([0, 3, 1, 4, 2, 5])
    """
    channels, height, width = shape
    return torch.arange(channels * height * width, device="cpu").view(channels, -1).T.flatten()


def by_channel(logits: Tensor, channels: int) -> Tensor:
    """(B, C (levels - 1), H, W) -> (B, C, H, W, levels - 1)."""
    return logits.unflatten(1, (channels, -1)).movedim(2, -1)
