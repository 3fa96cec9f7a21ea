def wasserstein(x, y):
    return (x.sort().values - y.sort().values).square().mean().sqrt()
