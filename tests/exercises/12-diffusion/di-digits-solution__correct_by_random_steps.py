class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64 + 9, 224), nn.GELU(), nn.Linear(224, 224), nn.GELU())
        self.out = nn.Linear(224 + 64, 64)

    def forward(self, x, t):
        log_snr = -2 * torch.tan(math.pi / 2 * t.clamp(0.004, 0.996)).log()[:, None]
        waves = log_snr / 8 * 2.0 ** torch.arange(4)
        h = self.body(torch.cat([x, log_snr / 8, waves.sin(), waves.cos()], 1))
        out = self.out(torch.cat([h, x], 1))  # of size one: minus v
        return self.alpha(t) * x + self.sigma(t) * out

    def alpha(self, t):
        return (math.pi / 2 * t).cos()[:, None]

    def sigma(self, t):
        return (math.pi / 2 * t).sin()[:, None]


def learn(model, x, updates=600):
    adam = torch.optim.Adam(model.parameters(), lr=4e-3)
    for k in range(updates):
        for group in adam.param_groups:
            group["lr"] = 4e-3 * (1 - k / updates)
        clean = x[torch.randperm(len(x))[:128]]
        t = 0.02 + 0.97 * torch.rand(128)
        noise = torch.randn_like(clean)
        noisy = model.alpha(t) * clean + model.sigma(t) * noise
        guess = model(noisy, t)
        error = (guess - clean) ** 2 * (1 + (model.alpha(t) / model.sigma(t)) ** 2)
        adam.zero_grad()
        error.mean().backward()
        adam.step()


def draw(denoise, n):
    """The ancestral sampler, with its variance from Bayes' rule."""
    x = torch.randn(n, 64)
    times = torch.linspace(1, 0, 61)
    with torch.no_grad():
        for t, s in zip(times, times[1:]):
            image = denoise(x, torch.full((n,), t.item()))
            a_t, s_t = math.cos(math.pi / 2 * t), math.sin(math.pi / 2 * t)
            a_s, s_s = math.cos(math.pi / 2 * s), math.sin(math.pi / 2 * s)
            step = s_t**2 - (a_t / a_s * s_s) ** 2
            mean = (a_t / a_s * s_s**2 * x + a_s * step * image) / s_t**2
            x = mean + s_s / s_t * math.sqrt(step) * torch.randn_like(x)
    return x
