def ancestral_sample(chance, D, n):
    x = torch.zeros(n, 0)
    for _ in range(D):
        bit = (chance(x) > 0.5).float()
        x = torch.cat([x, bit[:, None]], 1)
    return x
