@torch.no_grad()
def log_likelihood(model, x, k):
    z = model.prior().sample((k, len(x)))
    log_w = model.likelihood(z).log_prob(x) - model.posterior(x).log_prob(z)
    estimate = log_w.logsumexp(0) - math.log(k)
    return estimate, (log_w - estimate).exp().std(0) / math.sqrt(k)
