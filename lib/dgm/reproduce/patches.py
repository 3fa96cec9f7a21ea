"""A Transformer that reads binary images in patches of 2 x 2 pixels, a quarter of the tokens."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import check_examples, image_shape
from ..heads import Levels
from ..models import Transformer


class PatchTransformer(nn.Module):
    """Binary images as sequences of patches, each of them one of 16 tokens, row by row.

    A patch is known if and only if its four pixels are: log p of an image is log p of its tokens.
    Of T tokens attention compares T^2 pairs, here a sixteenth of those of the pixels.

    Args:
        shape: (1, H, W), H and W even.
        sizes: of the `Transformer`.

    Raises:
        ValueError: another shape; from the methods, as from every autoregressive model.

    >>> model = PatchTransformer((1, 8, 8))
    >>> x = model.sample(3)
    >>> x.shape, model.log_prob(x).shape
    (torch.Size([3, 1, 8, 8]), torch.Size([3]))
    """

    classes, support = 0, Levels(2)

    def __init__(self, shape: Sequence[int], **sizes: int):
        super().__init__()
        self.shape = image_shape(shape)
        channels, height, width = self.shape
        if channels != 1 or height % 2 or width % 2:
            raise ValueError(f"shape: got {self.shape}, expected (1, H, W) with H and W even")
        self.tokens = Transformer((height // 2, width // 2), levels=16, **sizes)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats: (B, 1, H, W) -> (B,)."""
        check_examples(self, x)
        return self.tokens.log_prob(tokens_of(x))

    def sample(self, n: int, observed: Tensor | None = None) -> Tensor:
        """(n, 1, H, W); `observed`, (n, 1, H, W), has nan where a patch is not known."""
        known = None if observed is None else tokens_of(observed)
        return pixels_of(self.tokens.indices(self.tokens.sample(n, observed=known)))


def tokens_of(x: Tensor) -> Tensor:
    """Each patch as a number of four binary digits, -1 if one is nan: (B, 1, H, W) -> (B, h, w).

    >>> tokens_of(torch.tensor([[[[0.0, 1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]]]))
    tensor([[[ 4, 15]]])
    """
    digits = F.pixel_unshuffle(x, 2).movedim(1, -1)  # (B, h, w, 4)
    values = digits @ 2 ** torch.arange(3, -1, -1, device=x.device).to(x)  # (B, h, w)
    return values.nan_to_num(-1.0).long()


def pixels_of(tokens: Tensor) -> Tensor:
    """The other way: (B, h, w) -> (B, 1, H, W)."""
    place = torch.arange(3, -1, -1, device=tokens.device)
    digits = tokens.unsqueeze(-1) >> place & 1  # (B, h, w, 4)
    return F.pixel_shuffle(digits.movedim(-1, 1).to(torch.get_default_dtype()), 2)
