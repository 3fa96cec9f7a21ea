def ula(score, x, eta, steps):
    return (
        x
        if steps == 0
        else ula(score, x + eta / 2 * score(x) + eta**0.5 * torch.randn(x.shape), eta, steps - 1)
    )


def ula_variance(s, eta):
    shrink = (1 - eta / (2 * s**2)) ** 2  # of the variance, before eta is added
    return eta / (1 - shrink) if shrink < 1 else math.inf
