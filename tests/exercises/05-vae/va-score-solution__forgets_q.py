@torch.no_grad()
def score(model, x, k):
    z = model.posterior(x).sample((k,))
    log_w = model.prior().log_prob(z) + model.likelihood(z).log_prob(x)
    return log_w.logsumexp(0) - math.log(k)
