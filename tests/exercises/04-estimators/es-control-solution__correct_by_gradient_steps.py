def fit_control(f, q, draws=1000):
    z = q.sample((draws,))
    values = f(z).detach()  # (draws, 1)
    a = torch.zeros(z.shape[-1], requires_grad=True)
    adam = torch.optim.Adam([a], lr=0.1)
    for _ in range(400):
        loss = (values - z @ a).var()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return a.detach()


def with_control(f, q, k, a):
    z = q.sample((k,))
    values = f(z)
    rest = (values - z @ a).detach()
    others = (rest.sum(0) - rest) / (k - 1)
    s = ((rest - others) * q.log_prob(z)).mean(0) + q.mean @ a
    return values.mean(0) + s - s.detach()
