def diffusion_term(denoise, x, low, high):
    B = len(x)
    first, last = (2 / math.pi * math.atan(math.exp(-lam / 2)) for lam in (high, low))
    t = first + (last - first) * (torch.randperm(B) + torch.rand(B)) / B
    lam = -2 * torch.tan(math.pi / 2 * t).log()
    wide = lam.reshape(-1, *[1] * (x.dim() - 1))
    x_lam = wide.sigmoid().sqrt() * x + (-wide).sigmoid().sqrt() * torch.randn_like(x)
    error = (x - denoise(x_lam, lam)).flatten(1).square().sum(1)
    return (high - low) / 2 * lam.exp() * error
