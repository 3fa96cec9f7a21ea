def level_log_prob(cdf, v):
    return (cdf(v + 1) - cdf(v)).log()


def noise_bound(log_prob, v, draws):
    log_p = log_prob(v + torch.rand(draws, *v.shape, dtype=v.dtype))
    return log_p.logsumexp(0) - math.log(draws)
