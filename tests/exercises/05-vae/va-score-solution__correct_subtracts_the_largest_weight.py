@torch.no_grad()
def score(model, x, k):
    q = model.posterior(x)
    z = q.sample((k,))
    log_w = model.prior().log_prob(z) + model.likelihood(z).log_prob(x) - q.log_prob(z)
    top = log_w.max(0).values
    return top + (log_w - top).exp().mean(0).log()
