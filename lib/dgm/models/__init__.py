"""The models. Each is built from its event shape alone: `Model(shape)`; the rest has defaults."""

from .autoencoder import Autoencoder
from .autoregressive import FVSBN, LSTM, MADE, NADE, GatedPixelCNN, PixelCNN, Transformer
from .conditional import ConditionalVAE
from .gan import Critic, Generator
from .linear import PCA, PPCA
from .mixtures import BernoulliMixture, GaussianMixture
from .rbm import RBM
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
    "Autoencoder",
    "BernoulliMixture",
    "ConditionalVAE",
    "Critic",
    "GatedPixelCNN",
    "GaussianMixture",
    "Generator",
    "PixelCNN",
    "Transformer",
]
