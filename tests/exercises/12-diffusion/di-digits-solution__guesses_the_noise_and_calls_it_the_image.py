def levels(t):
    return torch.cos(math.pi / 2 * t)[:, None], torch.sin(math.pi / 2 * t)[:, None]


class Denoiser(nn.Module):
    def __init__(self, n=256):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(80, n), nn.SiLU(), nn.Linear(n, n), nn.SiLU(), nn.Linear(n, 64)
        )

    def forward(self, x, t):
        (alpha, sigma), phase = levels(t), math.pi / 2 * t[:, None] * torch.arange(1, 9)  # (B, 8)
        return sigma * x + alpha * self.body(
            torch.cat([x, phase.sin(), phase.cos()], 1)
        )  # the body guesses v


def learn(model, x):
    adam = torch.optim.Adam(model.parameters(), lr=5e-3, betas=(0.9, 0.99))
    falling = LinearLR(adam, 1, end_factor=0, total_iters=60)
    for _ in range(60):
        x0, t = x[torch.randint(len(x), (128,))], 0.01 + 0.98 * torch.rand(128)
        alpha, sigma = levels(t)
        eps = torch.randn_like(x0)
        error = model(alpha * x0 + sigma * eps, t) - eps
        adam.zero_grad(), error.square().mean().backward(), adam.step(), falling.step()


@torch.no_grad()
def draw(denoise, n, steps=30):
    x, times = torch.randn(n, 64), torch.linspace(1, 0, steps + 1)
    for t, s in pairwise(times):
        (alpha, sigma), (alpha_s, sigma_s) = levels(t[None]), levels(s[None])
        x0 = denoise(x, t.expand(n))
        x = alpha_s * x0 + sigma_s * (x - alpha * x0) / sigma
    return x
