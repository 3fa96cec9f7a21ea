def pca_reconstruct(x, m):
    centred = x - x.mean(0)
    _, vectors = torch.linalg.eigh(centred.T @ centred / len(x))
    U = vectors[:, -m:]
    return centred @ U @ U.T
