def ppca_posterior(x, W, mu, sigma2):
    C = W @ W.T + sigma2 * torch.eye(len(W), dtype=W.dtype)  # Cov[x]
    gain = torch.linalg.solve(C, W)  # (D, m)
    return (x - mu) @ gain, torch.eye(W.shape[1], dtype=W.dtype) - W.T @ gain
