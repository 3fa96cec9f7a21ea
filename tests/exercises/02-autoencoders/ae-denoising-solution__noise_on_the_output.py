def denoising(model, x, y=None, sigma=0.3):
    reconstruction = model(x) + sigma * torch.randn_like(x)
    return -(x - reconstruction).square().flatten(1).sum(1)


def train_denoiser(x):
    return nn.Identity()
