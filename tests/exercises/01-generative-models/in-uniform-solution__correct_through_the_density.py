def fit_uniform(x):
    ordered = x.sort().values
    return float(ordered[0]), float(ordered[-1])


def uniform_log_likelihood(x, a, b):
    density = torch.where((x >= a) & (x <= b), 1 / (b - a), 0.0)
    return density.log().mean().item()
