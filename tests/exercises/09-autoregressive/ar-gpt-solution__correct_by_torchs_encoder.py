class GPT(nn.Module):
    def __init__(self, L, T, width=64):
        super().__init__()
        self.token, self.place = nn.Embedding(L, width), nn.Embedding(T, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.logits = nn.Linear(width, L)

    def forward(self, x):
        t = x.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(t)
        g = self.token(x) + self.place(torch.arange(t))
        return self.logits(self.layers(g, mask=mask, is_causal=True))


def learn(model, windows):
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    for t in range(350):
        adam.param_groups[0]["lr"] = 5e-3 * (1 - t / 350)
        x = windows[torch.randperm(len(windows))[:32]]
        log_p = model(x[:, :-1]).log_softmax(2)
        loss = -log_p.gather(2, x[:, 1:, None]).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
