from torch.distributions import Independent


def e_step(x, weights, means):
    log_joint = weights.log() + Independent(Bernoulli(means), 1).log_prob(x[:, None])  # (N, K)
    return (log_joint - log_joint.logsumexp(1, keepdim=True)).exp()


def m_step(x, r):
    means = torch.stack([(share[:, None] * x).sum(0) / share.sum() for share in r.T])
    return r.mean(0), means.clip(0.001, 0.999)


def em(x, weights, means, rounds):
    history = []
    for _ in range(rounds):
        log_p = x @ means.log().T + (1 - x) @ (1 - means).log().T  # (N, K)
        history.append((weights.log() + log_p).logsumexp(1).mean().item())
        weights, means = m_step(x, e_step(x, weights, means))
    return weights, means, history
