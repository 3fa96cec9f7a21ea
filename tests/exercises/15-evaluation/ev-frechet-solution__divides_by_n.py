def frechet(a, b):
    A, B = ((x - x.mean(0)) / len(x) ** 0.5 for x in (a, b))
    root = torch.linalg.matrix_norm(A @ B.T, "nuc")
    return (a.mean(0) - b.mean(0)).square().sum() + A.square().sum() + B.square().sum() - 2 * root
