def frechet(a, b):
    A, B = ((x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (a, b))
    return A.square().sum() + B.square().sum() - 2 * torch.linalg.matrix_norm(A @ B.T, "nuc")
