def em_centres(x, centres, variance):
    p = (-(x[:, None] - centres).square().sum(2) / (2 * variance)).exp()
    r = p / p.sum(1, keepdim=True)
    return r.T @ x / r.sum(0)[:, None]
