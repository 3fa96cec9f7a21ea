def sigma_gradients(mu, sigma, eps):
    s = torch.full_like(eps, sigma).requires_grad_()  # a sigma for each draw
    z = mu + s * eps
    (path,) = autograd.grad((z**2).sum(), s)
    z = z.detach()
    (score,) = autograd.grad(Normal(mu, s).log_prob(z).sum(), s)
    return z**2 * score, path
