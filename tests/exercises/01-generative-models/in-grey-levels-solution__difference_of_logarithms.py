def level_log_prob(cdf, v):
    return cdf(v + 1).log() - cdf(v).log()


def noise_bound(log_prob, v, draws):
    return log_prob(v + torch.rand(draws, *v.shape, dtype=v.dtype)).mean(0)
