def factors(a):
    K = len(a)
    others = (a.sum(0) - a) / (K - 1)
    own = torch.eye(K, dtype=torch.bool)[..., None]
    return torch.where(own, others[:, None], a[None]).logsumexp(1) - math.log(K)
