def log_marginal(log_joint, q, k):
    z = q.sample((k,))
    log_w = log_joint(z) - q.log_prob(z)
    top = log_w.max(0).values
    return top + (log_w - top).exp().mean(0).log()
