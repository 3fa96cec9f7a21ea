def laplace(u, mu, b):
    distance = -b * torch.log(2 * b * torch.minimum(u, 1 - u))
    return torch.where(u < 0.5, mu - distance, mu + distance)
