def laplace(u, mu, b):
    below, above = torch.log(2 * u), -torch.log(2 * (1 - u))
    return mu + torch.where(u < 0.5, below, above) / b
