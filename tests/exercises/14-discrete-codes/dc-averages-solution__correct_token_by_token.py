def follow(vectors, counts, sums, z, k, gamma):
    n, m = torch.zeros_like(counts), torch.zeros_like(sums)
    for point, symbol in zip(z.flatten(0, 1), k.flatten().tolist()):
        if symbol >= 0:
            n[symbol] += 1
            m[symbol] += point
    counts, sums = torch.lerp(n, counts, gamma), torch.lerp(m, sums, gamma)
    new = vectors.clone()
    new[counts > 0] = sums[counts > 0] / counts[counts > 0, None]
    return new, counts, sums
