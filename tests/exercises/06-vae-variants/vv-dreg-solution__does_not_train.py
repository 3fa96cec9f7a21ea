def doubly(model, x, k):
    q, prior = model.posterior(x), model.prior()
    draws = q.rsample((k,))
    z = draws.detach().requires_grad_()
    log_joint = model.likelihood(z).log_prob(x) + prior.log_prob(z)
    log_w = log_joint - q.log_prob(z)
    (slope,) = grad(log_w.sum(), z, retain_graph=True)
    weight = log_w.detach().softmax(0)
    s = (weight * log_joint + weight.square() * (slope * draws).sum(-1)).sum(0)
    return log_w.detach().logsumexp(0) - math.log(k) + s - s.detach()


def learn(model, x, k=5, updates=250, lr=0.05):
    pass
