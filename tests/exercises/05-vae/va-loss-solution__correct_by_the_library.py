def accepts(loss):
    torch.manual_seed(0)
    mu = torch.tensor([[0.5, -1.0], [1.5, 0.0]], requires_grad=True)
    log_var = torch.tensor([[1.0, -2.0], [-1.0, 0.7]], requires_grad=True)
    x = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    W = torch.tensor([[2.0, -1.0, 1.0], [0.5, 1.5, -2.0]])

    class Model(nn.Module):
        shape, classes = (3,), 0
        support = torch.distributions.constraints.boolean

        def prior(self):
            return Independent(Normal(torch.zeros(2), 1.0), 1)

        def posterior(self, x):
            many = [t.repeat(50_000, 1) for t in (mu, log_var)]
            return Independent(Normal(many[0], (0.5 * many[1]).exp()), 1)

        def likelihood(self, z):
            return Independent(torch.distributions.Bernoulli(logits=z @ W), 1)

    many = [t.repeat(50_000, 1) for t in (mu, log_var, x)]
    values = [loss(*many[:2], lambda z: z @ W, many[2]), -elbo(Model(), many[2]).mean()]
    slopes = []
    for value in values:
        pair = torch.autograd.grad(value, (mu, log_var), allow_unused=True)
        slopes.append(torch.cat([torch.zeros(4) if g is None else g.flatten() for g in pair]))
    off = (values[0] - values[1]).abs() + (slopes[0] - slopes[1]).abs().max()
    return bool(off < 0.05)
