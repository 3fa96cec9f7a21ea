"""The Transformer that reads images in patches: a model of pixels, drawn a quarter as often."""

import pytest
import torch

from dgm.reproduce.patches import PatchTransformer, pixels_of, tokens_of


@pytest.fixture
def model():
    torch.manual_seed(0)
    return PatchTransformer((1, 4, 2), width=8, layers=1, heads=2).double()


def test_a_patch_is_a_number_of_four_binary_digits():
    x = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1]])[None, None]
    assert tokens_of(x).tolist() == [[[0b1000, 0b0001]]]
    x = torch.rand(5, 1, 6, 4).round()
    assert pixels_of(tokens_of(x)).equal(x)
    x[:, :, 0, 3] = torch.nan
    assert (tokens_of(x) == -1).nonzero()[:, 1:].unique(dim=0).tolist() == [[0, 1]]


def test_the_probabilities_of_all_images_sum_to_one(model):
    everything = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 8).view(-1, 1, 4, 2)
    assert model.log_prob(everything).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_what_is_observed_stays_and_the_rest_is_drawn(model):
    observed = torch.full((200, 1, 4, 2), torch.nan).double()
    observed[:, :, :2] = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    x = model.sample(200, observed=observed).double()
    assert x[:, :, :2].equal(observed[:, :, :2])
    assert len(x[:, :, 2:].unique(dim=0)) > 10  # of 16
    assert model.log_prob(x).isfinite().all()


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 5, 4), (1, 4, 5)])
def test_shapes_without_patches_are_refused(shape):
    with pytest.raises(ValueError, match="shape: got .*, expected"):
        PatchTransformer(shape)
