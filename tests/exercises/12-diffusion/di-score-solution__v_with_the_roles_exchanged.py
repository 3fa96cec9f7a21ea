def to_score(value, kind, x, alpha, sigma):
    alpha, sigma = (c.reshape(-1, *[1] * (x.dim() - 1)) for c in (alpha, sigma))
    if kind == "x0":
        value = (x - alpha * value) / sigma
    elif kind == "v":
        value = (alpha * x - sigma * value) / (alpha**2 + sigma**2)
    return -value / sigma
