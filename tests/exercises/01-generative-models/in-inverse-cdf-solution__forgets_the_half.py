def laplace(u, mu, b):
    return torch.where(u < 0.5, mu + b * torch.log(u), mu - b * torch.log(1 - u))
