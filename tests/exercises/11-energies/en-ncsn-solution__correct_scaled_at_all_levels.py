def dsm(score, x, sigma, eps):
    sigma = sigma[:, None]
    return (sigma * score(x + sigma * eps, sigma[:, 0]) + eps).square().sum(1)


def denoise(score, x, sigma):
    return x + sigma[:, None] ** 2 * score(x, sigma)


class ScoreNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(2, 64), nn.Linear(96, 2)
        self.middle = nn.Sequential(nn.Linear(129, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU())
        nn.init.normal_(self.first.weight, std=3.0)

    def forward(self, x, sigma):
        sigma = sigma[:, None]
        size = (1 + sigma**2).sqrt()
        u = x / size
        waves = self.first(u)
        h = self.middle(torch.cat([waves.sin(), waves.cos(), sigma.log()], 1))
        return -(sigma * u - self.last(h)) / (size * sigma)


def learn(model, density):
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    falling = torch.optim.lr_scheduler.LinearLR(adam, 1, end_factor=0, total_iters=600)
    for _ in range(600):
        sigma = 0.05 ** torch.rand(256)  # evenly in log sigma, from 1 to 0.05
        loss = dsm(model, density.sample((256,)), sigma, torch.randn(256, 2)).mean()
        adam.zero_grad(), loss.backward(), adam.step(), falling.step()
