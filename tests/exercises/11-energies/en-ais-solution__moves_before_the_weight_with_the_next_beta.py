@torch.no_grad()
def ais_log_weights(rbm, chains, betas):
    W, b, c = rbm.weight, rbm.visible_bias, rbm.hidden_bias  # (D, H), (D,), (H,)

    def log_f(x, beta):
        return beta * x @ b + torch.nn.functional.softplus(beta * (c + x @ W)).sum(1)

    D, H = W.shape
    x = torch.rand(chains, D).round()
    log_w = torch.full((chains,), (D + H) * math.log(2))
    for before, after in zip(betas, betas[1:]):
        for _ in range(1):
            h = torch.bernoulli((after * (c + x @ W)).sigmoid())
            x = torch.bernoulli((after * (b + h @ W.T)).sigmoid())
        log_w = log_w + log_f(x, after) - log_f(x, before)
    return log_w
