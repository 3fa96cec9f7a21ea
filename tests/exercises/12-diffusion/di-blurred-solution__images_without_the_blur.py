def best_guess(x, data, h, alpha, sigma):
    variance = alpha**2 * h**2 + sigma**2
    distance = (x[:, None] - alpha * data).square().sum(2)
    weights = (-distance / (2 * variance)).softmax(1)
    return weights @ data
