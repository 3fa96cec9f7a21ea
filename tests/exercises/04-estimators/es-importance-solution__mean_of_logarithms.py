def log_marginal(log_joint, q, k):
    z = q.sample((k,))
    return (log_joint(z) - q.log_prob(z)).mean(0)  # the ELBO
