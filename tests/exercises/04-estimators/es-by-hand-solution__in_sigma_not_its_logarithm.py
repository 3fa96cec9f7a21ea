def elbo_gradients(x, w, mu, log_sigma, eps):
    sigma = math.exp(log_sigma)
    z = mu + sigma * eps
    slope = -z + w * (x - w * z)
    return torch.stack([slope, slope * eps + 1 / sigma], 1)
