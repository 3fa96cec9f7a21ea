def couple(x, y, eps):
    eps = eps.clone()
    for label in y.unique():
        own = (y == label).nonzero()[:, 0]
        order = x[own].norm(dim=1).argsort().argsort()
        eps[own] = eps[own][eps[own].norm(dim=1).argsort()][order]
    return eps
