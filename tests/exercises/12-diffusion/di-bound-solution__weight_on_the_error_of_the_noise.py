def diffusion_term(denoise, x, low, high):
    B = len(x)
    lam = low + (high - low) * (torch.randperm(B) + torch.rand(B)) / B
    wide = lam.reshape(-1, *[1] * (x.dim() - 1))
    alpha, sigma, eps = wide.sigmoid().sqrt(), (-wide).sigmoid().sqrt(), torch.randn_like(x)
    x_lam = alpha * x + sigma * eps
    error = eps - (x_lam - alpha * denoise(x_lam, lam)) / sigma
    return (high - low) / 2 * lam.exp() * error.flatten(1).square().sum(1)
