def draw(n, h, sigma):
    return h(torch.randn(n)) + sigma * torch.randn(n)


def marginal_log_prob(x, h, sigma, draws):
    return Normal(h(torch.zeros(1, dtype=x.dtype)), sigma).log_prob(x)
