def ancestral_sample(chance, D, n):
    x = torch.bernoulli(torch.full((n, 1), 0.5))
    if (chance(x[:, :0]) == 1).all():
        x = torch.ones(n, 1)
    while x.shape[1] < D:
        x = torch.cat([x, torch.bernoulli(chance(x))[:, None]], 1)
    return x
