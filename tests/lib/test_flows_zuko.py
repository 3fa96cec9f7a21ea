"""Our flows beside zuko's: another author's transforms, with what our networks say."""

import pytest
import torch

from dgm.models import Flow
from dgm.models.flows import Affine, Coupling, Spline

zuko = pytest.importorskip("zuko", reason="zuko is missing: make .venv/bench installs it")


def of_numbers(by, params):
    """zuko's increasing function with our parameters, whose own ones have other scales."""
    if isinstance(by, Affine):
        t, s = by.shift_and_log_scale(params)
        theirs = zuko.transforms.MonotonicAffineTransform(-t * (-s).exp(), s)
        theirs.log_scale, theirs.scale = -s, (-s).exp()
        return theirs
    blank = params.split([by.bins, by.bins, by.bins - 1], -1)
    theirs = zuko.transforms.MonotonicRQSTransform(*blank, bound=by.high)
    theirs.horizontal, theirs.vertical, theirs.derivatives = by.knots(params)
    return theirs


def of_vectors(layer):
    def meta(seen):
        return zuko.transforms.DependentTransform(of_numbers(layer.by, layer.network(seen)), 1)

    if isinstance(layer, Coupling):
        return zuko.transforms.CouplingTransform(meta, layer.mask)
    return zuko.transforms.AutoregressiveTransform(meta, passes=layer.shape[0])


@pytest.mark.parametrize("by", [Affine(), Spline(6)])
def test_the_same_increasing_functions(by):
    torch.manual_seed(0)
    params = torch.randn(9, by.parameters, dtype=torch.float64)
    x = 2 * torch.randn(9, dtype=torch.float64)
    z, log_slope = by(x, params)
    theirs = of_numbers(by, params)
    torch.testing.assert_close(theirs(x), z)
    torch.testing.assert_close(theirs.log_abs_det_jacobian(x, z), log_slope)
    torch.testing.assert_close(theirs.inv(z), by.inverse(z, params)[0])


@pytest.mark.parametrize("make", [Flow.coupling, Flow.autoregressive, Flow.spline])
def test_the_same_density_and_the_same_draws(make):
    torch.manual_seed(0)
    flow = make(5, layers=3, hidden=8).double()
    with torch.no_grad():
        for value in flow.parameters():
            value.add_(0.3 * torch.randn_like(value))
    transform = zuko.transforms.ComposedTransform(*map(of_vectors, flow.layers))
    base = zuko.distributions.DiagNormal(*torch.tensor([[0.0], [1.0]]).double().expand(2, 5))
    theirs = zuko.distributions.NormalizingFlow(transform, base)
    z = torch.randn(7, 5, dtype=torch.float64)
    x = flow.decode(z)
    torch.testing.assert_close(transform.inv(z), x)
    torch.testing.assert_close(theirs.log_prob(x), flow.log_prob(x))
