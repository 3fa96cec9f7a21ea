def to_score(value, kind, x, alpha, sigma):
    a, s = (c.view(len(x), *[1] * (x.dim() - 1)) for c in (alpha, sigma))
    if kind == "eps":
        image = (x - s * value) / a
    elif kind == "v":
        image = (a * x - s * value) / (a.square() + s.square())
    else:
        image = value
    return (a * image - x) / s.square()
