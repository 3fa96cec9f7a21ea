def elbo_gradients(x, w, mu, log_sigma, eps):
    sigma = math.exp(log_sigma)
    z = mu + sigma * eps
    slope = -z + w * (x - w * z)
    slope = slope + eps / sigma  # that of -log q(z), its own parameters held fixed
    return torch.stack([slope, slope * sigma * eps], 1)
