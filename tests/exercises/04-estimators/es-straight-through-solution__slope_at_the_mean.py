def straight_through_bias(f, p):
    z = p.detach().clone().requires_grad_()
    (slope,) = autograd.grad(f(z).sum(), z)
    return slope - (f(torch.ones_like(p)) - f(torch.zeros_like(p)))
