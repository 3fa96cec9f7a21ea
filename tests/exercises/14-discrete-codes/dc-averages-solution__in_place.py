def follow(vectors, counts, sums, z, k, gamma):
    member = (k.flatten()[:, None] == torch.arange(len(vectors))).float()
    counts.mul_(gamma).add_((1 - gamma) * member.sum(0))
    sums.mul_(gamma).add_((1 - gamma) * member.T @ z.flatten(0, 1))
    vectors.copy_((sums / counts[:, None]).where(counts[:, None] > 0, vectors))
    return vectors, counts, sums
