def level_log_prob(cdf, v):
    below, above = cdf(v), cdf(v + 1)
    return above.log() + torch.log1p(-below / above)


def noise_bound(log_prob, v, draws):
    total = 0
    for _ in range(draws):
        total = total + log_prob(v + torch.rand_like(v))
    return total / draws
