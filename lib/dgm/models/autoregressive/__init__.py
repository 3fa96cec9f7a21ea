"""Autoregressive models: the chain rule, with a network for its factors. Exact likelihoods.

    LSTM           what came before, in a state           any sequence
    FVSBN          a logistic regression per coordinate   any order
    NADE           a hidden layer per coordinate          any order, weights shared by a running sum
    MADE           one masked network                     any order, or many at once
    PixelCNN       masked convolutions                    images; with a blind spot
    GatedPixelCNN  two stacks of them                     images; without
    Transformer    attention to what came before          any sequence

All have `log_prob` in one parallel pass, `conditionals`, and `sample`, which takes D steps.
"""

from .base import Autoregressive, inverse_cdf
from .fvsbn import FVSBN
from .lstm import LSTM
from .made import MADE, OrderEnsemble
from .nade import NADE
from .pixelcnn import GatedPixelCNN, PixelCNN
from .transformer import Transformer

__all__ = [
    "FVSBN",
    "LSTM",
    "MADE",
    "NADE",
    "Autoregressive",
    "GatedPixelCNN",
    "OrderEnsemble",
    "PixelCNN",
    "Transformer",
    "inverse_cdf",
]
