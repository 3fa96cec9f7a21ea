def best_guess(x, data, h, alpha, sigma):
    variance = alpha**2 * h**2 + sigma**2
    distance = (x[:, None] - alpha * data).square().sum(2)
    density = (-distance / (2 * variance)).exp()
    weights = density / density.sum(1, keepdim=True)
    gain = alpha * h**2 / variance
    return (1 - gain * alpha) * weights @ data + gain * x
