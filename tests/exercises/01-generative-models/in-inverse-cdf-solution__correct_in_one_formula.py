def laplace(u, mu, b):
    centred = u - 0.5
    return mu - b * centred.sign() * torch.log1p(-2 * centred.abs())
