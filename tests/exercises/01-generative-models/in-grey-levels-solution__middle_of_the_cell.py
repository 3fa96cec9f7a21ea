def level_log_prob(cdf, v):
    return (cdf(v + 1) - cdf(v)).log()


def noise_bound(log_prob, v, draws):
    return log_prob(v + 0.5)
