def e_step(x, weights, means):
    log_joint = weights.log() + Independent(Bernoulli(means), 1).log_prob(x[:, None])  # (N, K)
    return (log_joint - log_joint.logsumexp(1, keepdim=True)).exp()


def m_step(x, r):
    means = torch.stack([(share[:, None] * x).sum(0) / share.sum() for share in r.T])
    return r.mean(0), means.clip(0.001, 0.999)
