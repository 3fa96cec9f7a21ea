def fit_curve(x):
    nn, K = torch.nn, 100
    net = nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    log_sigma = nn.Parameter(torch.tensor(-1.0))
    quantiles = Normal(0.0, 1.0).icdf((torch.arange(K) + 0.5) / K)[:, None]

    class Curve:
        def log_prob(self, x):
            log_p = Normal(net(quantiles), log_sigma.exp()).log_prob(x[:, None]).sum(2)
            return log_p.logsumexp(1)

        def sample(self, n):
            return Normal(net(torch.randn(n, 1)), log_sigma.exp()).sample()

    model = Curve()
    optimizer = torch.optim.Adam([*net.parameters(), log_sigma], lr=0.01)
    for _ in range(60):
        loss = -model.log_prob(x[torch.randint(len(x), (256,))]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model
