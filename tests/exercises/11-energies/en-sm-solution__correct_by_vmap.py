def score_matching(score, x):
    jacobian = torch.func.vmap(torch.func.jacrev(lambda v: score(v[None])[0]))(x)  # (B, D, D)
    return jacobian.diagonal(dim1=1, dim2=2).sum(1) + score(x).pow(2).sum(1) / 2
