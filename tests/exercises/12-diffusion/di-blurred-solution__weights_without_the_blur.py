def best_guess(x, data, h, alpha, sigma):
    variance = sigma**2
    distance = (x[:, None] - alpha * data).square().sum(2)
    weights = (-distance / (2 * variance)).softmax(1)
    gain = alpha * h**2 / (alpha**2 * h**2 + sigma**2)
    return (1 - gain * alpha) * weights @ data + gain * x
