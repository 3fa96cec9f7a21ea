def doubly(model, x, k):
    q = model.posterior(x)
    fixed = Independent(Normal(q.mean.detach(), q.stddev.detach()), 1)
    z = q.rsample((k,))
    log_w = model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - fixed.log_prob(z)
    weight = log_w.detach().softmax(0)
    z.register_hook(lambda g: weight[..., None] * g)  # a second power, for the encoder only
    s = (weight * log_w).sum(0)
    return log_w.detach().logsumexp(0) - math.log(k) + s - s.detach()


def learn(model, x, k=5, updates=250, lr=0.05):
    adam = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(updates):
        adam.zero_grad()
        (-doubly(model, x, k).mean()).backward()
        adam.step()
