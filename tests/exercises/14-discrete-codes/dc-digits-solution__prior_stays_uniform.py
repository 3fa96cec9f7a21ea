class Codes(nn.Module):
    def __init__(self, n=200):
        super().__init__()
        self.down = nn.Sequential(
            nn.Linear(64, n), nn.ReLU(), nn.Linear(n, 8), nn.Unflatten(1, (2, 4))
        )
        self.up = nn.Sequential(nn.Flatten(), nn.Linear(8, n), nn.ReLU(), nn.Linear(n, 64))
        self.book = nn.Parameter(torch.randn(16, 4))
        self.register_buffer("counts", torch.full((16, 16), 0.5))

    def encode(self, x):
        return torch.cdist(self.down(x).flatten(0, 1), self.book).argmin(1).view(-1, 2)

    def decode(self, k):
        return self.up(self.book[k])

    def log_prior(self, k):
        return (self.counts / self.counts.sum()).log()[k[:, 0], k[:, 1]]


def learn(model, greys):
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(200):
        x = torch.bernoulli(greys[torch.randint(len(greys), (64,))])
        z, e = model.down(x), model.book[model.encode(x)]
        fit = Bernoulli(logits=model.up(z + (e - z).detach())).log_prob(x).sum(1)
        lost = (z.detach() - e).square() + 0.25 * (z - e.detach()).square()
        adam.zero_grad()
        (lost.sum((1, 2)) - fit).mean().backward()
        adam.step()
