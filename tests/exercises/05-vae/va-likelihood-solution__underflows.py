@torch.no_grad()
def log_likelihood(model, x, k):
    q = model.posterior(x)
    z = q.sample((k,))
    log_w = model.prior().log_prob(z) + model.likelihood(z).log_prob(x) - q.log_prob(z)
    w = log_w.exp()
    return w.mean(0).log(), w.std(0) / w.mean(0) / math.sqrt(k)
