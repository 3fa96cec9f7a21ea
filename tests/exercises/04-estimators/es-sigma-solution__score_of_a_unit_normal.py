def sigma_gradients(mu, sigma, eps):
    z = mu + sigma * eps
    return z**2 * (eps**2 - 1), 2 * z * eps  # the score lacks 1 / sigma
