"""Claims of the page on several devices."""

import pytest
import torch

from dgm.train.distributed import Ranks


@pytest.mark.equation("eq-shares")
@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("size", range(1, 8))
def test_weighted_gradients_of_shares_average_to_that_of_the_batch(size, world):
    """The gradients of the shares, one by one, against the gradient of the mean over the batch."""
    torch.manual_seed(size)
    x, theta = torch.randn(size, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    average, seen = 0.0, []
    for rank in range(world):
        ranks = Ranks(rank, world)
        (share,) = ranks.share((x,))
        value = theta.clone().requires_grad_()
        (ranks.weight * (value * share).sin().mean()).backward()
        average += value.grad / world
        seen += share.tolist() if ranks.weight else []
    torch.testing.assert_close(average, (x * (theta * x).cos()).mean())
    assert seen == x.tolist()  # every example in one share
