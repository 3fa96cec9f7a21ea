def em_centres(x, centres, variance):
    squared = (x[:, None] - centres).square().sum(2)
    r = (-squared / (2 * variance**2)).softmax(1)
    return r.T @ x / r.sum(0)[:, None]
