@torch.no_grad()
def log_likelihood(model, x, k):
    q = model.posterior(x)
    z = q.sample((k,))
    log_w = model.prior().log_prob(z) + model.likelihood(z).log_prob(x) - q.log_prob(z)
    top = log_w.max(0).values
    w = (log_w - top).exp()
    return top + w.mean(0).log(), (w.var(0) / k).sqrt() / w.mean(0)
