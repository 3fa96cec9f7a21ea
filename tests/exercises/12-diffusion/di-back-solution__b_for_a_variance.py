def step_back(x_t, m, v, a, b):
    total = a**2 * v + b
    return (b * m + a * v * x_t) / total, b * v / total
