"""The same variational autoencoder in pythae, which `make bench` installs."""

import logging
import math
import tempfile

from torch import Tensor, nn

from .._device import device
from ..data import Split


def pythae_trainer(split: Split, hidden: int, latent: int, batch_size: int):
    """pythae's trainer of a VAE with one hidden layer of its encoder and one of its decoder.

    Its `train_step(1)` trains for one epoch and returns the mean loss. It runs without its progress
    bar and messages. The device is a GPU if `dgm.device()` is one, else the CPU: pythae knows no
    other.

    Raises:
        ImportError: pythae is not installed.
    """
    logging.disable(logging.INFO)
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    pixels = math.prod(split.x.shape[1:])

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.ReLU())
            self.mu, self.log_var = nn.Linear(hidden, latent), nn.Linear(hidden, latent)

        def forward(self, x: Tensor) -> ModelOutput:
            h = self.features(x)  # (B, hidden)
            return ModelOutput(embedding=self.mu(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            hidden_layer = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU())
            self.network = nn.Sequential(hidden_layer, nn.Linear(hidden, pixels), nn.Sigmoid())

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.network(z))  # (B, pixels)

    config = VAEConfig(
        input_dim=tuple(split.x.shape[1:]), latent_dim=latent, reconstruction_loss="bce"
    )
    with tempfile.TemporaryDirectory() as folder:  # which it makes and `train_step` does not need
        trainer = BaseTrainer(
            VAE(config, Encoder(), Decoder()),
            BaseDataset(split.images, split.y),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                per_device_train_batch_size=batch_size,
                learning_rate=1e-3,
                no_cuda=device().type != "cuda",
            ),
        )
        trainer.prepare_training()
    trainer.callback_handler.callbacks.clear()  # the progress bar
    return trainer
