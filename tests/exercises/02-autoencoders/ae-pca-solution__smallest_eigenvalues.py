def pca_reconstruct(x, m):
    mu = x.mean(0)
    _, vectors = torch.linalg.eigh((x - mu).T @ (x - mu) / len(x))
    U = vectors[:, :m]  # eigh returns rising eigenvalues
    return mu + (x - mu) @ U @ U.T
