def denoising(model, x, y=None, sigma=0.3):
    noisy = x + sigma * (2 * torch.rand_like(x) - 1)
    return -(x - model(noisy)).square().flatten(1).sum(1)


def train_denoiser(x):
    return nn.Identity()
