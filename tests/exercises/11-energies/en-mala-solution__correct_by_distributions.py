def mala_log_accept(log_p, score, x, y, eta):
    there = torch.distributions.Normal(x + eta / 2 * score(x), math.sqrt(eta)).log_prob(y).sum(1)
    back = torch.distributions.Normal(y + eta / 2 * score(y), math.sqrt(eta)).log_prob(x).sum(1)
    return (log_p(y) + back) - (log_p(x) + there)
