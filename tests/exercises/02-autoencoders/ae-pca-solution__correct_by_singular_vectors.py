def pca_reconstruct(x, m):
    mu = x.mean(0)
    _, _, directions = torch.linalg.svd(x - mu, full_matrices=False)
    return mu + (x - mu) @ directions[:m].T @ directions[:m]
