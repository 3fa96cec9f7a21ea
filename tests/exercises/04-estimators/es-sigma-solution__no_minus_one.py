def sigma_gradients(mu, sigma, eps):
    z = mu + sigma * eps
    return z**2 * eps**2 / sigma, 2 * z * eps  # the derivative of -log sigma is missing
