@torch.no_grad()
def ais_log_weights(rbm, chains, betas):
    W, b, c = rbm.weight, rbm.visible_bias, rbm.hidden_bias  # (D, H), (D,), (H,)

    def log_f(x, beta):
        return beta * x @ b + torch.nn.functional.softplus(beta * (c + x @ W)).sum(1)

    D, H = W.shape
    x = torch.rand(chains, D).round()
    log_w = torch.full((chains,), (D + H) * math.log(2))
    for before, after in zip(betas, betas[1:]):
        if before > 0:
            h = torch.bernoulli((before * (c + x @ W)).sigmoid())
            x = torch.bernoulli((before * (b + h @ W.T)).sigmoid())
        log_w = log_w + log_f(x, before) - log_f(x, after)
    return log_w
