def fit_uniform(x):
    low, high, n = x.min().item(), x.max().item(), len(x)
    margin = (high - low) / (n - 1)
    return low - margin, high + margin


def uniform_log_likelihood(x, a, b):
    return -math.log(b - a) if ((x >= a) & (x <= b)).all() else -math.inf
