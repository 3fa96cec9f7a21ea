def ula(score, x, eta, steps):
    for _ in range(steps):
        x = x + eta / 2 * score(x) + math.sqrt(eta) * torch.randn_like(x)
    return x


def ula_variance(s, eta):
    return s**2 if eta < 4 * s**2 else math.inf
