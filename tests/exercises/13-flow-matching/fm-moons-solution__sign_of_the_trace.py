class Velocity(nn.Module):
    def __init__(self, n=128):
        super().__init__()
        self.register_buffer("waves", 3 * torch.randn(2, 64))
        hidden = nn.Linear(139, n), nn.SiLU(), nn.Linear(n, n), nn.SiLU()
        self.body = nn.Sequential(*hidden, nn.Linear(n, 2))

    def forward(self, x, t):
        a, b = x @ self.waves, (t[:, None] + 0.02).log() * torch.linspace(0.7, 2.8, 4)
        return self.body(torch.cat([x, t[:, None], a.sin(), a.cos(), b.sin(), b.cos()], 1))


def learn(model, density, updates=1200):
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    falling = CosineAnnealingLR(adam, updates)
    for _ in range(updates):
        x, eps, t = density.sample((256,)), torch.randn(256, 2), torch.rand(256) ** 2
        loss = (model(x + t[:, None] * (eps - x), t) - (eps - x)).square().sum(1).mean()
        adam.zero_grad(), loss.backward(), adam.step(), falling.step()


@torch.no_grad()
def log_prob(model, x, steps=40):
    total = 0.0
    for t in torch.arange(steps)[:, None].expand(-1, len(x)) / steps:
        x_mid, then = x + model(x, t) / (2 * steps), partial(model, t=t + 0.5 / steps)
        for v in torch.eye(2)[:, None].expand(2, len(x), 2):
            u, pushed = jvp(then, (x_mid,), (v,))
            total = total + (v * pushed).sum(1) / steps
        x = x + u / steps
    return Normal(0.0, 1.0).log_prob(x).sum(1) - total
