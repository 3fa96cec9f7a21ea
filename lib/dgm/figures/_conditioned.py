"""A network that is told the noise level and a label, as a list of layers that the page reads.

The list is in two parts, parted by {"type": "event"}: from the level and the label to features, and
from the event to the output. Between the layers stand notes of what the page has to keep: "save",
"load", "add" and "concat" of a slot; "film", which reads the features.
"""

import copy

import torch
from torch import Tensor, nn

from ..conditioned import Block, LevelFeatures, ResidualPerceptron, UNet
from ..models import Diffusion
from ._network import Notes, Packed, round_matrix

PRECISION = "int8"  # of all matrices


@torch.no_grad()
def rounded(model: Diffusion) -> tuple[Diffusion, Packed]:
    """A copy of the model on the CPU, with the weights that the page will use, and these.

    Raises:
        ValueError: it is no diffusion model, or one of another network.
    """
    if not isinstance(model, Diffusion):
        raise ValueError(f"model: got {type(model).__name__}, expected a dgm.models.Diffusion")
    model = copy.deepcopy(model).cpu().float()
    notes, x = _Conditioned(), torch.zeros(1, *model.shape, dtype=torch.float32, device="cpu")
    match model.network:
        case UNet():
            notes.unet(model.network, x)
        case ResidualPerceptron():
            notes.perceptron(model.network, x)
        case other:
            raise ValueError(
                f"model: got one with the network {type(other).__name__}, expected one of "
                "Diffusion.conv or Diffusion.mlp"
            )
    return model, notes.packed(model.network, PRECISION)


class _Conditioned(Notes):
    """The two networks of `dgm.conditioned`, in the order in which their `forward` goes."""

    def unet(self, net: UNet, x: Tensor) -> None:
        self.features(net.features)
        fine = self.block(net.down, self.all(net.first, x))
        self.note("save", slot="fine")
        h = self.all(net.halve, fine)
        for block in net.middle:
            h = self.block(block, h)
        h = self.all(net.narrow, h)
        up = nn.functional.interpolate(h, size=fine.shape[-2:])
        self.note("upsample", **{"in": [*h.shape[1:]], "out": [*up.shape[1:]]})
        self.note("concat", slot="fine")
        self.all(net.last, self.block(net.up, torch.cat([up, fine], 1)))

    def perceptron(self, net: ResidualPerceptron, x: Tensor) -> None:
        self.features(net.features)
        h = self.all(net.first, x)
        for block in net.blocks:
            h = self.block(block, h)
        self.all(net.last, h)

    def features(self, features: LevelFeatures) -> None:
        """From the level to the vector that all blocks read."""
        self.note("waves", frequencies=features.frequencies.tolist())
        self.all(features.body, torch.zeros(1, 2 * len(features.frequencies)))
        if features.classes:
            self.matrix("class", features.vectors.weight)
        self.note("event")

    def block(self, block: Block, h: Tensor) -> Tensor:
        self.note("save", slot="before")
        skip = self.all(block.skip, h)
        self.note("save", slot="skip")
        self.note("load", slot="before")
        h = self.all(block.before, h)
        self.matrix("film", block.film.layer.weight, block.film.layer.bias)
        h = self.all(block.after, h)
        self.note("add", slot="skip")
        return skip + h

    def all(self, module: nn.Module, x: Tensor) -> Tensor:
        """Every layer of a Sequential, or of Sequentials in it."""
        if not isinstance(module, nn.Sequential):
            return self.through(module, x, PRECISION)
        for layer in module:
            x = self.all(layer, x)
        return x

    def matrix(self, type: str, weight: Tensor, bias: Tensor | None = None) -> None:
        rows, columns = weight.shape
        self.note(type, rows=rows, columns=columns, precision=PRECISION)
        self.weights.append(round_matrix(weight, PRECISION))
        self.count += weight.numel()
        if bias is not None:
            self.weights.append(bias.numpy().astype("<f4").tobytes())
            self.count += bias.numel()
