def pca_reconstruct(x, m):
    mu = x.mean(0)
    _, vectors = torch.linalg.eigh((x - mu).T @ (x - mu) / len(x))
    U = vectors[-m:].T  # eigenvectors are the columns
    return mu + (x - mu) @ U @ U.T
