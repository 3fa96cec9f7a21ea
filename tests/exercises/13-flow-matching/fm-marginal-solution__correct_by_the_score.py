def marginal_velocity(x, t, data, path):
    t = torch.as_tensor(t)
    alpha, sigma = path.alpha(t), path.sigma(t)
    x = x.clone().requires_grad_()
    log_p = (-torch.cdist(x, alpha * data).square() / (2 * sigma**2)).logsumexp(1)
    (score,) = torch.autograd.grad(log_p.sum(), x)
    x = x.detach()
    clean = (x + sigma**2 * score) / alpha
    return path.d_alpha(t) * clean - path.d_sigma(t) * sigma * score
