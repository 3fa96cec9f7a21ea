def log_marginal(log_joint, q, k):
    z = q.sample((k,))
    return log_joint(z).logsumexp(0) - math.log(k)
