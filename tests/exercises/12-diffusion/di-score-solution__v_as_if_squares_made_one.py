def to_score(value, kind, x, alpha, sigma):
    alpha, sigma = (c.reshape(-1, *[1] * (x.dim() - 1)) for c in (alpha, sigma))
    x0 = {"x0": value, "eps": (x - sigma * value) / alpha, "v": alpha * x - sigma * value}[kind]
    return (alpha * x0 - x) / sigma**2
