def ancestral_sample(chance, D, n):
    x = torch.zeros(n, 0)
    for _ in range(D):
        x = torch.cat([x, chance(x)[:, None]], 1)
    return x
