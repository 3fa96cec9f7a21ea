def diffusion_term(denoise, x, low, high):
    B = len(x)
    lam = low + (high - low) * torch.rand(B)
    wide = lam.reshape(-1, *[1] * (x.dim() - 1))
    x_lam = wide.sigmoid().sqrt() * x + (-wide).sigmoid().sqrt() * torch.randn_like(x)
    error = (x - denoise(x_lam, lam)).flatten(1).square().sum(1)
    return (high - low) / 2 * lam.exp() * error
