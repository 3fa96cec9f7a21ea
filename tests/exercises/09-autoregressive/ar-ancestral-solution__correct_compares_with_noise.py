def ancestral_sample(chance, D, n):
    x, u = torch.zeros(n, D), torch.rand(n, D)
    for j in range(D):
        x[:, j] = (u[:, j] < chance(x[:, :j])).float()
    return x
