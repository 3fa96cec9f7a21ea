def sigma_gradients(mu, sigma, eps):
    z = mu + sigma * eps
    return z**2 * (eps**2 - 1) / sigma, 2 * sigma * eps**2  # right on average, and another variance
