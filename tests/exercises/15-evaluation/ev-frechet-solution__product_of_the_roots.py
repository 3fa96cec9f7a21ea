def frechet(a, b):
    def root(S):
        values, vectors = torch.linalg.eigh(S)
        return vectors * values.clamp(min=0).sqrt() @ vectors.T

    S, R = a.T.cov(), b.T.cov()
    return (a.mean(0) - b.mean(0)).square().sum() + torch.trace(S + R - 2 * root(S) @ root(R))
