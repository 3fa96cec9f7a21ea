def em_centres(x, centres, variance):
    r = (-torch.cdist(x, centres) / (2 * variance)).softmax(1)
    return r.T @ x / r.sum(0)[:, None]
