def wasserstein(x, y):
    return (x - y).abs().mean()
