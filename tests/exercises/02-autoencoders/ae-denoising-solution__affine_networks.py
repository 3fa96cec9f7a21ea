def denoising(model, x, y=None, sigma=0.3):
    noisy = x + sigma * torch.randn_like(x)
    return -(x - model(noisy)).square().flatten(1).sum(1)


def train_denoiser(x):
    model = Autoencoder.linear(x.shape[1:], latent=32).to(x.device)
    step = dgm.train.gradient_step(model, denoising, lr=2e-3)
    for _ in range(20):
        for batch in x[torch.randperm(len(x))].split(128):
            step((batch,))
    return model
