def denoising(model, x, y=None, sigma=0.3):
    noisy = x + sigma * torch.randn_like(x)
    return -(x - model(noisy)).square().flatten(1).mean(1)


def train_denoiser(x):
    return nn.Identity()
