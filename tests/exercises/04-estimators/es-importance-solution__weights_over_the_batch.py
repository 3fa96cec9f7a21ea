def log_marginal(log_joint, q, k):
    z = q.sample((k,))
    log_w = log_joint(z) - q.log_prob(z)
    return log_w.logsumexp(1) - math.log(log_w.shape[1])  # over examples
