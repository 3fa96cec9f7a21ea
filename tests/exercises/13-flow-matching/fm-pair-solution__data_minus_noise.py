def pair(x0, eps, t, floor):
    t = t.reshape(-1, *[1] * (x0.dim() - 1))
    return (1 - t) * x0 + (floor + (1 - floor) * t) * eps, x0 - (1 - floor) * eps
