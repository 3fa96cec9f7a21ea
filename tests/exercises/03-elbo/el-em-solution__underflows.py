def e_step(x, weights, means):
    mean = means.clamp(0.01, 0.99)
    p = torch.stack([torch.where(x == 1, m, 1 - m).prod(1) for m in mean], 1) * weights
    return p / p.sum(1, keepdim=True).clamp_min(1e-44)


def m_step(x, r):
    n = r.sum(0)
    return n / len(x), (r.T @ x / n[:, None]).clamp(0.001, 0.999)


def em(x, weights, means, rounds):
    history = []
    for _ in range(rounds):
        log_p = x @ means.log().T + (1 - x) @ (1 - means).log().T  # (N, K)
        history.append((weights.log() + log_p).logsumexp(1).mean().item())
        weights, means = m_step(x, e_step(x, weights, means))
    return weights, means, history
