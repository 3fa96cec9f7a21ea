def level_log_prob(cdf, v):
    return (cdf(v + 0.5) - cdf(v - 0.5)).abs().log()


def noise_bound(log_prob, v, draws):
    return log_prob(v + torch.rand(draws, *v.shape, dtype=v.dtype)).mean(0)
