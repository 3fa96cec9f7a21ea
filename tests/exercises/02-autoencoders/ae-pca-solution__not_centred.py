def pca_reconstruct(x, m):
    _, vectors = torch.linalg.eigh(x.T @ x / len(x))
    U = vectors[:, -m:]
    return x @ U @ U.T
