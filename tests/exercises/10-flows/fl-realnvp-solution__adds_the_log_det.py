class RealNVP(nn.Module):
    def __init__(self, layers=8, width=64):
        super().__init__()
        self.networks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(1, width),
                nn.ReLU(),
                nn.Linear(width, width),
                nn.ReLU(),
                nn.Linear(width, 2),
            )
            for _ in range(layers)
        )

    def log_prob(self, x):
        total = torch.zeros(len(x))
        for network in self.networks:
            kept, changed = x[:, :1], x[:, 1:]
            s, t = network(kept).chunk(2, 1)
            s = 2 * s.tanh()
            x = torch.cat([(changed - t) * (-s).exp(), kept], 1)
            total = total + s[:, 0]
        return Normal(0.0, 1.0).log_prob(x).sum(1) + total

    def sample(self, n):
        x = torch.randn(n, 2)
        for network in reversed(self.networks):
            changed, kept = x[:, :1], x[:, 1:]
            s, t = network(kept).chunk(2, 1)
            x = torch.cat([kept, changed * (2 * s.tanh()).exp() + t], 1)
        return x


def learn(model, density, updates=1200):
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    falling = LinearLR(adam, start_factor=1, end_factor=0, total_iters=updates)
    for _ in range(updates):
        loss = -model.log_prob(density.sample((128,))).mean()
        adam.zero_grad(), loss.backward(), adam.step(), falling.step()
