def ancestral_sample(chance, D, n):
    x = torch.zeros(n, 0)
    for _ in range(D):
        bit = torch.bernoulli(chance(x[:, -1:]))
        x = torch.cat([x, bit[:, None]], 1)
    return x
