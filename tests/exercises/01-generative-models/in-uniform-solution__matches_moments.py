def fit_uniform(x):
    half = math.sqrt(3) * x.std(correction=0).item()
    return x.mean().item() - half, x.mean().item() + half


def uniform_log_likelihood(x, a, b):
    return -math.log(b - a) if ((x >= a) & (x <= b)).all() else -math.inf
