"""A gradient for the networks, and a codebook that follows its members."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..checks import examples
from .steps import gradient_step


class codebook_step(gradient_step):
    """A `gradient_step`, and then one update of the codebook from the same batch.

    The vectors are buffers of the model: a run that is saved and resumed takes the same path, its
    restarts included.

    Args:
        model: has `outputs(x)` and a `quantiser` with `nearest`, `update` and `perplexity`:
            `models.VQVAE` with a `Codebook` whose vectors follow by moving averages.
        objective, more: as `gradient_step`.

    Calling it with a batch returns the metrics of `gradient_step` and the perplexity of the codes,
    on the codebook's moving average, which looks back over about 1 / (1 - decay) batches: in a
    single batch it would come out too small.

    Raises:
        ValueError: the model has no such quantiser; or as `gradient_step`.

    >>> from dgm.models import VQVAE
    >>> from dgm.objectives import vq
    >>> step = codebook_step(VQVAE.mlp((2,)), vq)
    >>> list(step((torch.ones(20, 2),)))
    ['objective', 'perplexity']
    """

    def __init__(self, model: nn.Module, objective: Callable[..., Tensor], **more):
        quantiser = getattr(model, "quantiser", None)
        if getattr(quantiser, "decay", None) is None:
            raise ValueError(
                f"model: got a {type(model).__name__} with a {type(quantiser).__name__} that does "
                "not follow by averages, expected a Codebook with a decay; gradient_step trains "
                "the others"
            )
        super().__init__(model, objective, **more)

    def __call__(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        metrics = super().__call__(batch)
        with torch.no_grad():
            z = self.model.outputs(examples(batch)[0])  # (B, M, latent)
            book = self.model.quantiser
            book.update(z, book.nearest(z))
        return metrics | {"perplexity": book.perplexity()}

    def distribute(self, reduce) -> None:
        if reduce is not None:
            raise ValueError("distributed: got codebook_step, whose codebook sees one process")
        super().distribute(reduce)
