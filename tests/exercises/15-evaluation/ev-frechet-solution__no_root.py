def frechet(a, b):
    S, R = a.T.cov(), b.T.cov()
    return (a.mean(0) - b.mean(0)).square().sum() + torch.trace(S + R - 2 * S @ R)
