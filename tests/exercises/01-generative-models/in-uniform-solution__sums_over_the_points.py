def fit_uniform(x):
    return x.min().item(), x.max().item()


def uniform_log_likelihood(x, a, b):
    inside = ((x >= a) & (x <= b)).all()
    return -len(x) * math.log(b - a) if inside else -math.inf
