def follow(vectors, counts, sums, z, k, gamma):
    member = (k.flatten()[:, None] == torch.arange(len(vectors))).float()
    n, m = member.sum(0), member.T @ z.flatten(0, 1)
    counts, sums = (1 - gamma) * counts + gamma * n, (1 - gamma) * sums + gamma * m
    return (sums / counts[:, None]).where(counts[:, None] > 0, vectors), counts, sums
