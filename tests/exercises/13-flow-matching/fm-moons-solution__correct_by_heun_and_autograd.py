class Velocity(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("directions", 2.5 * torch.randn(80, 2))
        self.register_buffer("octaves", 0.7 * torch.arange(1, 6))
        layers = nn.Linear(172, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU()
        self.layers = nn.Sequential(*layers, nn.Linear(128, 2))

    def forward(self, x, t):
        across = nn.functional.linear(x, self.directions)
        along = torch.outer((0.03 + t).log(), self.octaves)
        waves = [f(a) for a in (across, along) for f in (torch.sin, torch.cos)]
        return self.layers(torch.cat([*waves, x], 1))


def learn(model, density):
    adam = torch.optim.Adam(model.parameters(), lr=8e-3)
    for k in range(1200):
        adam.param_groups[0]["lr"] = 4e-3 * (1 + math.cos(math.pi * k / 1200))
        ends = torch.stack([density.sample((256,)), torch.randn(256, 2)])
        t = ((torch.arange(256) + torch.rand(256)) / 256) ** 2
        points = torch.lerp(ends[0], ends[1], t[:, None])
        loss = nn.functional.mse_loss(model(points, t), ends[1] - ends[0])
        adam.zero_grad()
        loss.backward()
        adam.step()


def log_prob(model, x, steps=40):
    def slopes(x, t):
        x = x.detach().requires_grad_()
        u = model(x, torch.full((len(x),), t))
        rows = [torch.autograd.grad(u[:, i].sum(), x, retain_graph=True)[0] for i in (0, 1)]
        return u.detach(), rows[0][:, 0] + rows[1][:, 1]

    log_p, h = 0.0, 1 / steps
    here, trace = slopes(x, 0.0)
    for k in range(1, steps + 1):
        there, after = slopes(x + h * here, k * h)
        x, log_p = x + h * (here + there) / 2, log_p + h * (trace + after) / 2
        here, trace = slopes(x, k * h)
    return log_p - 0.5 * x.square().sum(1) - math.log(2 * math.pi)
