def factors(a):
    K = len(a)
    others = (a.sum(0) - a) / (K - 1)
    own = torch.eye(K, dtype=torch.bool)[..., None]
    replaced = torch.where(own, others[:, None], a[None])
    return a.logsumexp(0) - replaced.logsumexp(0)
