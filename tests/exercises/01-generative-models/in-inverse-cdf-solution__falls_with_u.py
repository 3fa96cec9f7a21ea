def laplace(u, mu, b):
    below, above = mu - b * torch.log(2 * u), mu + b * torch.log(2 * (1 - u))
    return torch.where(u < 0.5, below, above)
