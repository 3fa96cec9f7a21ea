def follow(vectors, counts, sums, z, k, gamma):
    member = (k.flatten()[:, None] == torch.arange(len(vectors))).float()
    n, m = member.sum(0), member.T @ z.flatten(0, 1)
    counts, sums = gamma * counts + (1 - gamma) * n, gamma * sums + (1 - gamma) * m
    means = m / n.clamp(min=1)[:, None]
    return gamma * vectors + (1 - gamma) * means, counts, sums
