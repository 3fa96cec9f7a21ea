def best_guess(x, data, h, alpha, sigma):
    distance = (x[:, None] - alpha * data).square().sum(2)
    weights = F.one_hot(distance.argmin(1), len(data)).float()
    gain = alpha * h**2 / (alpha**2 * h**2 + sigma**2)
    return (1 - gain * alpha) * weights @ data + gain * x
