@torch.no_grad()
def score(model, x, k):
    q = model.posterior(x)
    z = q.sample((k,))
    return (model.prior().log_prob(z) + model.likelihood(z).log_prob(x) - q.log_prob(z)).mean(0)
