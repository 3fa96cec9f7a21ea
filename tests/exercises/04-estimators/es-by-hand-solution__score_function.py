def elbo_gradients(x, w, mu, log_sigma, eps):
    sigma = math.exp(log_sigma)
    z = mu + sigma * eps
    f = -(z**2) / 2 - (x - w * z) ** 2 / 2 - 0.5 * math.log(2 * math.pi) + log_sigma + eps**2 / 2
    return torch.stack([f * eps / sigma, f * (eps**2 - 1)], 1)
