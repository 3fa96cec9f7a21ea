def learn(images):
    m, model = 8, nn.Module()
    model.encoder = nn.Sequential(  # (B, 1, 8, 8)
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.ReLU(),  # (B, 16, 4, 4)
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),  # (B, 32, 2, 2)
        nn.Flatten(),
        nn.Linear(128, 2 * m),
    )  # (B, 2m)
    model.decoder = nn.Sequential(  # (B, m)
        nn.Linear(m, 256),
        nn.ReLU(),
        nn.Unflatten(1, (16, 4, 4)),  # (B, 16, 4, 4)
        nn.ConvTranspose2d(16, 16, 4, stride=2, padding=1),
        nn.ReLU(),  # (B, 16, 8, 8)
        nn.Conv2d(16, 1, 3, padding=1),
    )  # (B, 1, 8, 8)
    model.to(images.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(300):
        x = torch.bernoulli(images[torch.randint(len(images), (100,), device=images.device)])
        mu, log_var = model.encoder(x).chunk(2, 1)
        q = Independent(Normal(mu, (0.5 * log_var).exp()), 1)
        prior = Independent(Normal(torch.zeros_like(mu), 1.0), 1)
        p = Independent(torch.distributions.Bernoulli(logits=model.decoder(q.rsample())), 3)
        loss = -p.log_prob(x).mean() + kl(q, prior).mean()
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    return model
