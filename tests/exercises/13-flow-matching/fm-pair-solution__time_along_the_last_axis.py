def pair(x0, eps, t, floor):
    return (1 - t) * x0 + (floor + (1 - floor) * t) * eps, (1 - floor) * eps - x0
