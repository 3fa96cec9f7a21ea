def follow(vectors, counts, sums, z, k, gamma):
    member = (k.flatten()[:, None] == torch.arange(len(vectors))).float()
    n = member.sum(0)
    m = member.T @ z.flatten(0, 1) / n.clamp(min=1)[:, None]
    counts, sums = gamma * counts + (1 - gamma) * n, gamma * sums + (1 - gamma) * m
    return (sums / counts[:, None]).where(counts[:, None] > 0, vectors), counts, sums
