from scipy.optimize import linear_sum_assignment


def couple(x, y, eps):
    cost = torch.cdist(x, eps).square()
    too_dear = 1 + 2 * cost.max() * len(x)
    rows, columns = linear_sum_assignment((cost + too_dear * (y[:, None] != y)).double().numpy())
    return eps[torch.as_tensor(columns)]
