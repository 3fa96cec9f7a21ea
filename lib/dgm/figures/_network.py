"""A network that travels in a page: the list of its layers and their rounded weights.

Weights are rounded to float16, or to int8 with one float32 scale per row (per output channel of a
convolution): W_ij = s_i q_ij with s_i = max_j |W_ij| / 127. The first layer of a decoder, which
takes the code itself, stays float32: codes have no fixed scale, and rounding there would move whole
pictures.

figures.js evaluates the list; `Packed.layers` and the weights are all it knows of the network. What
is told the noise level is taken apart in `_conditioned`.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .. import heads, nets
from ..models.autoencoder import Autoencoder
from ..models.linear import PCA

SUPPORTED = (
    "Linear, Conv2d and ConvTranspose2d (zero padding, no groups, no dilation), ReLU, LeakyReLU, "
    "SiLU, Tanh, Sigmoid, Softplus, GroupNorm, LayerNorm of vectors, PixelShuffle, "
    "PixelUnshuffle, Flatten, Unflatten and Identity, in Sequential or the networks of "
    "dgm.nets, under dgm.heads.Bernoulli or Normal, and the models PCA and Autoencoder"
)


@dataclass(frozen=True)
class Packed:
    """A network in the form that the page reads.

    Attributes:
        layers: one dictionary per layer, in order.
        weights: all weights, little-endian, in the order in which the layers need them.
        rounded: the same network in torch, with the weights that the page will use.
        count: number of weights, biases included.
        precision: "float16" or "int8"; "float32" if nothing was rounded.
    """

    layers: list[dict]
    weights: bytes
    rounded: nn.Module
    count: int
    precision: str


def decode(decoder, z: Tensor) -> Tensor:
    """What the page must reproduce: the image of z, or the mean of its distribution."""
    out = decoder.decode(z) if hasattr(decoder, "decode") else decoder(z)
    return out.mean if isinstance(out, Distribution) else out


@torch.no_grad()
def pack(decoder, precision: str, latent: int = 2) -> Packed:
    """Take a decoder apart and round its weights.

    Args:
        decoder: see SUPPORTED.
        precision: "float16" or "int8".
        latent: size of a code.

    Raises:
        ValueError: decoder has a layer that figures.js cannot evaluate.
    """
    plain = [copy.deepcopy(layer).cpu().float() for layer in _plain_layers(decoder)]
    # one code, sent through to learn the shapes
    x = torch.zeros(1, latent, dtype=torch.float32, device="cpu")
    notes, exact = Notes(), "float32"
    for layer in plain:
        try:
            x = notes.through(layer, x, precision if notes.weights else exact)
        except RuntimeError as error:
            raise ValueError(
                f"decoder: expected one that takes codes of {latent} numbers, got {layer}"
            ) from error
    rounded = any(layer.get("precision", exact) != exact for layer in notes.layers)
    return notes.packed(nn.Sequential(*plain), precision if rounded else exact)


class Notes:
    """What the page has to know of a network, noted down while an example goes through it."""

    def __init__(self):
        self.layers, self.weights, self.count = [], [], 0

    def through(self, layer: nn.Module, x: Tensor, precision: str) -> Tensor:
        """Note a layer down and round its weights; returns what it makes of x, (1, ...)."""
        y = layer(x)
        noted = self.note(**_describe(layer, x.shape[1:], y.shape[1:]))
        if "rows" in noted:
            noted["precision"] = precision
            self.weights.append(_round(layer, **noted))
        elif noted["type"] == "norm":
            self.weights += [_bytes(layer.weight, "<f4"), _bytes(layer.bias, "<f4")]
        self.count += sum(p.numel() for p in layer.parameters())
        return y

    def note(self, type: str, **what) -> dict:
        self.layers.append({"type": type, **what})
        return self.layers[-1]

    def packed(self, rounded: nn.Module, precision: str) -> Packed:
        return Packed(self.layers, b"".join(self.weights), rounded, self.count, precision)


def _plain_layers(module) -> Iterator[nn.Module]:
    """The layers of a decoder in the order in which they act."""
    match module:
        case PCA():
            yield _affine(module)
            yield nn.Unflatten(-1, module.shape)
        case Autoencoder():
            yield from _plain_layers(module.decoder)
        case heads.Bernoulli():  # its mean
            yield from _plain_layers(module.logits)
            yield nn.Sigmoid()
        case heads.Normal():
            yield from _plain_layers(module.mean)
        case nets.OverImages():
            yield from _plain_layers(module.layers)
        case nn.Sequential():
            for child in module:
                yield from _plain_layers(child)
        case _:
            yield module


def _affine(pca: PCA) -> nn.Linear:
    """PCA's decoder, mu + U z, as a layer."""
    layer = nn.Linear(*pca.components.shape, device=pca.mean.device, dtype=pca.mean.dtype)
    layer.weight.data, layer.bias.data = pca.components.T, pca.mean
    return layer


def _describe(layer: nn.Module, before: torch.Size, after: torch.Size) -> dict:
    """A layer as figures.js reads it. Shapes are those of one example."""
    match layer:
        case nn.Flatten() | nn.Unflatten() | nn.Identity():
            return {"type": "same"}  # the numbers stay in order, only their shape changes
        case nn.PixelShuffle(upscale_factor=fold):
            return {"type": "shuffle", "fold": fold, "in": [*before]}
        case nn.PixelUnshuffle(downscale_factor=fold):
            return {"type": "unshuffle", "fold": fold, "in": [*before]}
        case nn.SiLU():
            return {"type": "silu"}
        case nn.GroupNorm(affine=True):
            sizes = {"channels": layer.num_channels, "groups": layer.num_groups}
            return {"type": "norm", **sizes, "eps": layer.eps}
        case nn.LayerNorm(elementwise_affine=True) if layer.normalized_shape == tuple(before):
            return {"type": "norm", "channels": math.prod(before), "groups": 1, "eps": layer.eps}
        case nn.ReLU():
            return {"type": "relu"}
        case nn.LeakyReLU():
            return {"type": "leaky", "slope": layer.negative_slope}
        case nn.Tanh():
            return {"type": "tanh"}
        case nn.Sigmoid():
            return {"type": "sigmoid"}
        case nn.Softplus():
            return {"type": "softplus", "beta": layer.beta}
        case nn.Linear() if len(before) == 1:
            return {"type": "linear", "rows": layer.out_features, "columns": layer.in_features}
        case nn.Conv2d() | nn.ConvTranspose2d() if _simple(layer):
            transposed = isinstance(layer, nn.ConvTranspose2d)
            n_in, n_out, (h, w) = layer.in_channels, layer.out_channels, layer.kernel_size
            size = {"rows": n_out, "columns": n_in * h * w, "in": [*before], "out": [*after]}
            geometry = {name: [*getattr(layer, name)] for name in ("stride", "padding")}
            kernel = {"kernel": [h, w], **geometry, "transposed": transposed}
            return {"type": "convolution", **size, **kernel}
    raise ValueError(f"decoder: got the layer {layer}, supported are {SUPPORTED}")


def _simple(conv) -> bool:
    plain = conv.groups == 1 and set(conv.dilation) == {1}
    return plain and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


def _round(layer, precision: str, transposed: bool = False, **_) -> bytes:
    """Round the weights of a layer in place; returns its bytes: [scales] weights biases."""
    # rows are outputs; a transposed convolution has its inputs first
    weight = layer.weight.transpose(0, 1) if transposed else layer.weight
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias
    return round_matrix(weight, precision) + _bytes(bias, "<f4")


def round_matrix(weight: Tensor, precision: str) -> bytes:
    """Round a matrix (rows, ...) in place; returns its bytes: [scales] weights."""
    rows = weight.flatten(1)  # (rows, columns)
    if precision == "float32":
        return _bytes(rows, "<f4")
    if precision == "float16":
        rounded = rows.half()
        weight.copy_(rounded.view_as(weight))
        return _bytes(rounded, "<f2")
    scale = (rows.abs().amax(1) / 127).clamp_min(1e-30)  # (rows,)
    q = (rows / scale[:, None]).round()  # -127 .. 127
    weight.copy_((q * scale[:, None]).view_as(weight))
    return _bytes(scale, "<f4") + _bytes(q, "i1")


def _bytes(values: Tensor, kind: str) -> bytes:
    return values.detach().contiguous().numpy().astype(kind).tobytes()
