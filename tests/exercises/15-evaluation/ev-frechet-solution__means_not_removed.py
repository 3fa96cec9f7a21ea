def frechet(a, b):
    A, B = a / len(a) ** 0.5, b / len(b) ** 0.5
    root = torch.linalg.matrix_norm(A @ B.T, "nuc")
    return (a.mean(0) - b.mean(0)).square().sum() + A.square().sum() + B.square().sum() - 2 * root
