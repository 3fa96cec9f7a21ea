from scipy.optimize import linear_sum_assignment


def couple(x, y, eps):
    _, columns = linear_sum_assignment(torch.cdist(x, eps).square().numpy())
    return eps[torch.as_tensor(columns)]
