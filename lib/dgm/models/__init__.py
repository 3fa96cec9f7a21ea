"""The models. Each is built from its event shape alone, the rest has defaults.

`Model(shape)` makes those that come in one form; the others are made of networks, by
`Model.mlp(shape)`, `Model.conv(shape)`, `Model.residual(shape)` or, of any architecture,
`Model.of(architecture, shape)`.
"""

from ._from_architecture import FromArchitecture
from .autoencoder import Autoencoder
from .autoregressive import FVSBN, LSTM, MADE, NADE, GatedPixelCNN, PixelCNN, Transformer
from .conditional import ConditionalVAE
from .diffusion import Diffusion
from .energy import EnergyNetwork
from .flows import Dequantised, Flow
from .gan import Critic, Generator
from .ladder import Ladder
from .linear import PCA, PPCA
from .masked import MaskedDiffusion
from .mixtures import BernoulliMixture, GaussianMixture
from .quantised import VQVAE, Codebook, FiniteScalar
from .rbm import RBM
from .score_network import ScoreNetwork
from .semi_supervised import M1, M2, PCVAE
from .vae import VAE

__all__ = [
    "FVSBN",
    "LSTM",
    "M1",
    "M2",
    "MADE",
    "NADE",
    "PCA",
    "PCVAE",
    "PPCA",
    "RBM",
    "VAE",
    "VQVAE",
    "Autoencoder",
    "BernoulliMixture",
    "Codebook",
    "ConditionalVAE",
    "Critic",
    "Dequantised",
    "Diffusion",
    "EnergyNetwork",
    "FiniteScalar",
    "Flow",
    "FromArchitecture",
    "GatedPixelCNN",
    "GaussianMixture",
    "Generator",
    "Ladder",
    "MaskedDiffusion",
    "PixelCNN",
    "ScoreNetwork",
    "Transformer",
]
