def couple(x, y, eps):
    eps = eps.clone()
    for label in y.unique():
        own = (y == label).nonzero()[:, 0]
        cost = torch.cdist(x[own], eps[own]).square()
        eps[own] = eps[own][cost.argmin(1)]
    return eps
