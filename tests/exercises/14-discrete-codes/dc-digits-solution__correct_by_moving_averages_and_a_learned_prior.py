class Codes(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 8))
        self.decoder = nn.Sequential(nn.Linear(8, 256), nn.GELU(), nn.Linear(256, 64))
        self.register_buffer("vectors", torch.randn(16, 4))
        self.first = nn.Parameter(torch.zeros(16))
        self.second = nn.Parameter(torch.zeros(16, 16))

    def encode(self, x):
        z = self.encoder(x).unflatten(1, (2, 1, 4))
        return (z - self.vectors).square().sum(3).argmin(2)

    def decode(self, k):
        return self.decoder(self.vectors[k].flatten(1))

    def log_prior(self, k):
        second = self.second[k[:, 0]].log_softmax(1)
        return self.first.log_softmax(0)[k[:, 0]] + second.gather(1, k[:, 1:])[:, 0]


def learn(model, greys):
    adam = torch.optim.Adam([*model.encoder.parameters(), *model.decoder.parameters()], lr=3e-3)
    counts, sums = torch.ones(16), model.vectors.clone()
    for _ in range(600):
        x = torch.bernoulli(greys[torch.randint(len(greys), (64,))])
        z, e = model.encoder(x), model.vectors[model.encode(x)].flatten(1)
        logits = model.decoder(z + (e - z).detach())
        fit = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
        adam.zero_grad()
        (fit + 0.25 * (z - e).square().sum(1)).mean().backward()
        adam.step()
        points = z.detach().view(128, 4)
        k = torch.cdist(points, model.vectors).argmin(1)
        counts, sums = 0.95 * counts, 0.95 * sums
        counts.index_add_(0, k, torch.full((128,), 0.05))
        sums.index_add_(0, k, 0.05 * points)
        dead = counts < 0.2
        counts[dead], sums[dead] = 1.0, points[torch.randint(128, (int(dead.sum()),))]
        model.vectors = sums / counts[:, None]
    k = model.encode(torch.bernoulli(greys.repeat(10, 1)))
    adam = torch.optim.Adam([model.first, model.second], lr=5e-2)
    for _ in range(200):
        adam.zero_grad()
        (-model.log_prior(k).mean()).backward()
        adam.step()
