def straight_through_bias(f, p):
    z = torch.tensor([0.0, 1.0], dtype=p.dtype, requires_grad=True)
    (slopes,) = autograd.grad(f(z).sum(), z)
    truth = (f(z[1]) - f(z[0])).detach()
    return p * slopes[0] + (1 - p) * slopes[1] - truth
