def ula(score, x, eta, steps):
    return x + eta / 2 * score(x) + math.sqrt(eta) * torch.randn_like(x)


def ula_variance(s, eta):
    return s**2 / (1 - eta / (4 * s**2)) if eta < 4 * s**2 else math.inf
