def laplace(u, mu, b):
    return mu - b * torch.log(2 * (1 - u))
