def follow(vectors, counts, sums, z, k, gamma):
    z, k = z.flatten(0, 1), k.flatten().clamp(min=0)
    n = torch.zeros_like(counts).index_add(0, k, torch.ones(len(k)))
    m = torch.zeros_like(sums).index_add(0, k, z)
    counts, sums = gamma * counts + (1 - gamma) * n, gamma * sums + (1 - gamma) * m
    return (sums / counts[:, None]).where(counts[:, None] > 0, vectors), counts, sums
