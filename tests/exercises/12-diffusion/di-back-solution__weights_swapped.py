def step_back(x_t, m, v, a, b):
    total = a**2 * v + b**2
    return (a * v * m + b**2 * x_t) / total, b**2 * v / total
