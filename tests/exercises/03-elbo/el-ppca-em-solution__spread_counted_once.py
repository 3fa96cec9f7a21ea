def ppca_m_step(x, mean, covariance):
    second = covariance + mean.T @ mean
    W = torch.linalg.solve(second, mean.T @ x).T
    residual = (x - mean @ W.T).square().sum() + len(x) * (W @ covariance @ W.T).trace()
    return W, residual.item() / x.numel()


def ppca_em(x, W, sigma2, rounds):
    history, eye = [], torch.eye(W.shape[1], dtype=W.dtype)
    for _ in range(rounds):
        C = W @ W.T + sigma2 * torch.eye(len(W), dtype=W.dtype)
        history.append(MultivariateNormal(torch.zeros_like(x[0]), C).log_prob(x).mean().item())
        covariance = torch.linalg.inv(eye + W.T @ W / sigma2)
        W, sigma2 = ppca_m_step(x, x @ W @ covariance / sigma2, covariance)
    return W, sigma2, history
