def e_step(x, weights, means):
    return (weights.log() + x @ means.log().T + (1 - x) @ (1 - means).log().T).softmax(1)


def m_step(x, r):
    n = r.sum(0)
    return n / len(x), (r.T @ x / n[:, None]).clamp(0.001, 0.999)


def em(x, weights, means, rounds):
    history = []
    for _ in range(rounds):
        log_p = x @ means.log().T + (1 - x) @ (1 - means).log().T  # (N, K)
        r = e_step(x, weights, means)
        history.append((r * (weights.log() + log_p)).sum(1).mean().item())
        weights, means = m_step(x, e_step(x, weights, means))
    return weights, means, history
