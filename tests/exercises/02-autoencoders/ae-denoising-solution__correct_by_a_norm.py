def denoising(model, x, y=None, sigma=0.3):
    damaged = torch.normal(x, sigma)
    return -(torch.linalg.vector_norm((model(damaged) - x).flatten(1), dim=1) ** 2)
