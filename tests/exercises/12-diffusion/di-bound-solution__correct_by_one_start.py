def diffusion_term(denoise, x, low, high):
    share = (torch.rand(1) + torch.arange(len(x)) / len(x)) % 1
    lam = low + (high - low) * share
    snr = lam.exp().view(-1, *[1] * (x.dim() - 1))
    noisy = (snr.sqrt() * x + torch.randn_like(x)) / (1 + snr).sqrt()
    off = (x - denoise(noisy, lam)).reshape(len(x), -1)
    return (high - low) * 0.5 * torch.exp(lam) * off.pow(2).sum(1)
