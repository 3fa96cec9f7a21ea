class RealNVP(nn.Module):
    def __init__(self, layers=8, width=64):
        super().__init__()
        self.networks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(2, width),
                nn.ReLU(),
                nn.Linear(width, width),
                nn.ReLU(),
                nn.Linear(width, 4),
            )
            for _ in range(layers)
        )

    def steps(self):
        for k, network in enumerate(self.networks):
            mask = torch.arange(2) == k % 2

            def scale_and_shift(x, network=network, mask=mask):
                a, t = network(x * mask).chunk(2, 1)
                return 2 * a.tanh() * ~mask, t * ~mask

            yield scale_and_shift

    def log_prob(self, x):
        total = 0.0
        for scale_and_shift in self.steps():
            s, t = scale_and_shift(x)
            x, total = (x - t) * (-s).exp(), total - s.sum(1)
        return Normal(0.0, 1.0).log_prob(x).sum(1) + total

    @torch.no_grad()
    def sample(self, n):
        x = torch.randn(n, 2)
        for scale_and_shift in reversed(list(self.steps())):
            s, t = scale_and_shift(x)
            x = x * s.exp() + t
        return x


def learn(model, density, updates=1500):
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, updates)
    for _ in range(updates):
        adam.zero_grad()
        (-model.log_prob(density.sample((256,))).mean()).backward()
        adam.step()
        falling.step()
