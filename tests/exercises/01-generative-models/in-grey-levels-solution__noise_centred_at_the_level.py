def level_log_prob(cdf, v):
    return (cdf(v + 1) - cdf(v)).log()


def noise_bound(log_prob, v, draws):
    u = torch.rand(draws, *v.shape, dtype=v.dtype) - 0.5
    return log_prob(v + u).mean(0)
