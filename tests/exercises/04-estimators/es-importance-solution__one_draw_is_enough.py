def log_marginal(log_joint, q, k):
    z = q.sample()
    return log_joint(z[None])[0] - q.log_prob(z)
