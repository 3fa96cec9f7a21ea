from scipy.optimize import linear_sum_assignment


def couple(x, y, eps):
    eps = eps.clone()
    for label in y.unique():
        own = (y == label).nonzero()[:, 0]
        cost = torch.cdist(x[own], eps[own]).square()
        _, columns = linear_sum_assignment(-cost.numpy())
        eps[own] = eps[own][torch.as_tensor(columns)]
    return eps
