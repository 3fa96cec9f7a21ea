def frechet(a, b):
    mean = torch.cat([a, b]).mean(0)
    A, B = (a - mean) / (len(a) - 1) ** 0.5, (b - mean) / (len(b) - 1) ** 0.5
    root = torch.linalg.matrix_norm(A @ B.T, "nuc")
    return (a.mean(0) - b.mean(0)).square().sum() + A.square().sum() + B.square().sum() - 2 * root
