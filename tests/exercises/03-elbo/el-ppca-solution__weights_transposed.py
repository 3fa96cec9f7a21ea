def ppca_posterior(x, W, mu, sigma2):
    M = W.T @ W + sigma2 * torch.eye(W.shape[1], dtype=W.dtype)
    return (x - mu) @ W, sigma2 * torch.linalg.inv(M)
