def fit_uniform(x):
    return x.min().item(), x.max().item()


def uniform_score(x, a, b):
    return -math.log(b - a)
