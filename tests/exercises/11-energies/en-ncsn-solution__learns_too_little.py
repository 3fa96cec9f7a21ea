def dsm(score, x, sigma, eps):
    sigma = sigma[:, None]
    return (sigma * score(x + sigma * eps, sigma[:, 0]) + eps).square().sum(1)


def denoise(score, x, sigma):
    return x + sigma[:, None] ** 2 * score(x, sigma)


class ScoreNet(nn.Module):
    def __init__(self, waves=32, n=128):
        super().__init__()
        self.register_buffer("frequencies", 2.5 * torch.randn(2, waves))
        hidden = nn.Linear(3 + 2 * waves, n), nn.SiLU(), nn.Linear(n, n), nn.SiLU()
        self.body = nn.Sequential(*hidden, nn.Linear(n, 2))

    def forward(self, x, sigma):
        phase = x @ self.frequencies  # (B, waves)
        parts = [x, sigma.log()[:, None], phase.sin(), phase.cos()]
        return -self.body(torch.cat(parts, 1)) / sigma[:, None]  # minus the noise, over sigma


def learn(model, density):
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    falling = torch.optim.lr_scheduler.LinearLR(adam, 1, end_factor=0, total_iters=20)
    for _ in range(20):
        sigma = 0.05 ** torch.rand(256)  # evenly in log sigma, from 1 to 0.05
        loss = dsm(model, density.sample((256,)), sigma, torch.randn(256, 2)).mean()
        adam.zero_grad(), loss.backward(), adam.step(), falling.step()
