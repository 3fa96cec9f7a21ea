def full_kl(mu, L):
    trace = L.square().sum((1, 2))
    log_det = 2 * L.diagonal(dim1=1, dim2=2).log().sum(1)
    return 0.5 * (trace + mu.square().sum(1) - mu.shape[1] - log_det) / mu.shape[1]
