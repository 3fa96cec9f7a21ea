"""Normalising flows: invertible layers, scored exactly, drawn in one go.

A layer goes from data towards codes and says what it does to volume, `layer(x)` being
(z, log |det dz/dx|) and `layer.inverse(z)` the way back. A flow is a list of layers and a base.

    elementwise      Additive, Affine, Spline: increasing functions, whose parameters a network says
    couplings        Coupling(mask, network, by): one part says how the other is changed
    autoregressive   MaskedAutoregressive(d): each coordinate as those before it say
    linear           ActNorm, Linear (of images a 1 x 1 convolution), Planar (which has no inverse)
    moving           Flatten, Permute, Squeeze, Split, Logit; Composition, Inverse

`Flow` makes a model of them, `Dequantised` one of grey levels, and `InverseAutoregressive` is a
posterior of a variational autoencoder, whose prior a `Flow` is as it stands.
"""

from .autoregressive import MaskedAutoregressive, MaskedNetwork
from .couplings import Coupling, alternating, channels, checkerboard
from .dequantised import Dequantised
from .elementwise import Additive, Affine, Spline, rational_quadratic
from .flow import Flow
from .layers import Composition, Flatten, Inverse, Layer, Logit, Permute, Split, Squeeze
from .linear import ActNorm, Linear, Planar
from .posterior import InverseAutoregressive
from .stacks import glow_step

__all__ = [
    "ActNorm",
    "Additive",
    "Affine",
    "Composition",
    "Coupling",
    "Dequantised",
    "Flatten",
    "Flow",
    "Inverse",
    "InverseAutoregressive",
    "Layer",
    "Linear",
    "Logit",
    "MaskedAutoregressive",
    "MaskedNetwork",
    "Permute",
    "Planar",
    "Spline",
    "Split",
    "Squeeze",
    "alternating",
    "channels",
    "checkerboard",
    "glow_step",
    "rational_quadratic",
]
