def step_back(x_t, m, v, a, b):
    total = a**2 * v + b**2
    return (b**2 * m + a * v * x_t) / total, total
