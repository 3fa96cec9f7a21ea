"""The models. Each is built from its event shape alone: `Model(shape)`; the rest has defaults."""

from .autoencoder import Autoencoder
from .linear import PCA

__all__ = ["PCA", "Autoencoder"]
