class RealNVP(nn.Module):
    def __init__(self):
        super().__init__()
        self.flow = Flow.spline(2, layers=2)

    def log_prob(self, x):
        return self.flow.log_prob(x)

    def sample(self, n):
        return self.flow.sample(n)


def learn(model, density, updates=600):
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, updates)
    for _ in range(updates):
        adam.zero_grad()
        (-model.log_prob(density.sample((128,))).mean()).backward()
        adam.step()
        falling.step()
