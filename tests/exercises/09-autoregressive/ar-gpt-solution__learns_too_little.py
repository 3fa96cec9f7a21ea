class GPT(nn.Module):
    def __init__(self, L, T, width=64, heads=4):
        super().__init__()
        self.heads = heads
        self.token, self.place = nn.Embedding(L, width), nn.Embedding(T, width)
        self.norm, self.mix = nn.LayerNorm(width), nn.Linear(width, width)
        self.query_key_value = nn.Linear(width, 3 * width)
        wide = nn.Linear(width, 4 * width)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), wide, nn.GELU(), nn.Linear(4 * width, width)
        )
        self.logits = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, L))

    def forward(self, x):
        g = self.token(x) + self.place.weight[: x.shape[1]]
        parts = self.query_key_value(self.norm(g)).chunk(3, 2)
        q, k, v = (a.unflatten(2, (self.heads, -1)).transpose(1, 2) for a in parts)
        found = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        g = g + self.mix(found.transpose(1, 2).flatten(2))
        return self.logits(g + self.perceptron(g))


def learn(model, windows, updates=5):
    adam = torch.optim.Adam(model.parameters(), lr=6e-3)
    falling = LinearLR(adam, start_factor=1, end_factor=0, total_iters=updates)
    for _ in range(updates):
        x = windows[torch.randint(len(windows), (32,))]
        loss = F.cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())
        adam.zero_grad(), loss.backward(), adam.step(), falling.step()
