def frechet(a, b):
    a, b = a.double(), b.double()
    S, R = a.T.cov(), b.T.cov()
    values = torch.linalg.eigvals(S @ R).real.clamp(min=0)
    trace = torch.trace(S) + torch.trace(R) - 2 * values.sqrt().sum()
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + trace
