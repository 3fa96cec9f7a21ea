def denoising(model, x, y=None, sigma=0.3):
    damaged = torch.normal(x, sigma)
    return -(torch.linalg.vector_norm((model(damaged) - x).flatten(1), dim=1) ** 2)


def train_denoiser(x):
    model = Autoencoder.mlp(x.shape[1:], hidden=(200, 100), latent=24).to(x.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(70):
        for batch in x[torch.randperm(len(x))].split(100):
            optimizer.zero_grad()
            (-denoising(model, batch).mean()).backward()
            optimizer.step()
    return model
