def laplace(u, mu, b):
    return torch.zeros_like(u)
