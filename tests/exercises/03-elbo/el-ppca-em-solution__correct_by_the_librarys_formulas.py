def ppca_m_step(x, mean, covariance):
    W = (x.T @ mean) @ torch.linalg.inv(mean.T @ mean + len(x) * covariance)
    second = mean.T @ mean / len(x) + covariance
    variance = x.square().mean(0).sum() - (W @ second @ W.T).trace()  # at the best W
    return W, (variance / x.shape[1]).item()


def ppca_em(x, W, sigma2, rounds):
    history, eye = [], torch.eye(W.shape[1], dtype=W.dtype)
    for _ in range(rounds):
        C = W @ W.T + sigma2 * torch.eye(len(W), dtype=W.dtype)
        history.append(MultivariateNormal(torch.zeros_like(x[0]), C).log_prob(x).mean().item())
        covariance = torch.linalg.inv(eye + W.T @ W / sigma2)
        W, sigma2 = ppca_m_step(x, x @ W @ covariance / sigma2, covariance)
    return W, sigma2, history
