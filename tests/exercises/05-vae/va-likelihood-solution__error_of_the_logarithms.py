@torch.no_grad()
def log_likelihood(model, x, k):
    q = model.posterior(x)
    z = q.sample((k,))
    log_w = model.prior().log_prob(z) + model.likelihood(z).log_prob(x) - q.log_prob(z)
    return log_w.logsumexp(0) - math.log(k), log_w.std(0) / math.sqrt(k)
