def fit_uniform(x):
    return x.min().item(), x.max().item()


def uniform_log_likelihood(x, a, b):
    return -math.log(b - a)
