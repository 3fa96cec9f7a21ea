def doubly(model, x, k):
    q = model.posterior(x)
    z = q.rsample((k,))
    log_w = model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)
    return log_w.logsumexp(0) - math.log(k)


def learn(model, x, k=5, updates=250, lr=0.05):
    adam = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(updates):
        adam.zero_grad()
        (-doubly(model, x, k).mean()).backward()
        adam.step()
