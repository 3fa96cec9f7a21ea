def pair(x0, eps, t, floor):
    t = t.reshape(-1, *[1] * (x0.dim() - 1))
    x_t = (1 - t) * x0 + (floor + (1 - floor) * t) * eps
    return x_t, (x_t - x0) / t
