"""Heads: from features to a distribution.

A network followed by a head is a conditional distribution. Calling it returns an object of
`torch.distributions` with the usual vocabulary: `log_prob`, `sample`, `mean`, `batch_shape` (one
distribution per row of the input) and `event_shape` (one draw).

    encoder = nn.Sequential(nets.mlp((1, 8, 8), 400), heads.DiagonalNormal(400, 2))     # q(z | x)
    decoder = nn.Sequential(nets.mlp(2, 400), heads.Bernoulli(400, (1, 8, 8)))          # p(x | z)

`features` is the `out_features` of the network before the head: a number, or (C, H, W) for a
feature map. The distributions skip their own argument checks, which cost time at every step;
`dgm.train.fit` checks once that the data lie in the support.

A prior is a head without features, `heads.StandardNormal(2)()`. A head that makes codes names the
prior that goes with it: `DiagonalNormal.prior`.

    codes    DiagonalNormal, FullNormal, Bernoulli, OneHotCategorical; two layers of them: Chained
    levels   TopDown: any number of continuous ones, each given all above it
    priors   StandardNormal, UnitCube, FairCoins, UniformOneHot
    by flows Flowed: what invertible layers make of another distribution
    tokens   Tokens: a model of symbols as a distribution of one-hot codes
    pixels   Bernoulli (binary), Categorical (grey levels), Normal (one sigma), NormalPerPixel
"""

from .chain import Chain, Chained
from .codes import (
    Box,
    DiagonalNormal,
    FairCoins,
    FullNormal,
    OneHot,
    OneHotCategorical,
    StandardNormal,
    UniformOneHot,
    UnitCube,
)
from .flowed import Flowed
from .levels import TopDown
from .pixels import Bernoulli, Categorical, GreyLevels, Levels, Normal, NormalPerPixel, OnGrid
from .tokens import Tokens

__all__ = [
    "Bernoulli",
    "Box",
    "Categorical",
    "Chain",
    "Chained",
    "DiagonalNormal",
    "FairCoins",
    "Flowed",
    "FullNormal",
    "GreyLevels",
    "Levels",
    "Normal",
    "NormalPerPixel",
    "OnGrid",
    "OneHot",
    "OneHotCategorical",
    "StandardNormal",
    "Tokens",
    "TopDown",
    "UniformOneHot",
    "UnitCube",
]
