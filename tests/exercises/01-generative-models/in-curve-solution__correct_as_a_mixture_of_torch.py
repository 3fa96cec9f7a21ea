def fit_curve(x):
    from torch.distributions import Independent

    grid = (torch.arange(200) + 0.5) / 200
    z = Normal(0.0, 1.0).icdf(grid)[:, None]
    linear, tanh = torch.nn.Linear, torch.nn.Tanh()
    net = torch.nn.Sequential(linear(1, 100), tanh, linear(100, 50), tanh, linear(50, 2))
    log_variance = torch.zeros((), requires_grad=True)

    class Model:
        def mixture(self):
            parts = Independent(Normal(net(z), (log_variance / 2 - 1).exp()), 1)
            return MixtureSameFamily(Categorical(torch.ones(200)), parts)

        def sample(self, n):
            return self.mixture().sample((n,))

        def log_prob(self, x):
            return self.mixture().log_prob(x)

    model = Model()
    optimizer = torch.optim.Adam([*net.parameters(), log_variance], lr=0.005)
    for _ in range(500):
        optimizer.zero_grad()
        (-model.log_prob(x[torch.randperm(len(x))[:200]]).mean()).backward()
        optimizer.step()
    return model
