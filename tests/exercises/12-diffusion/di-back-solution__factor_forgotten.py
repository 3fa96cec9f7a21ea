def step_back(x_t, m, v, a, b):
    return (b**2 * m + v * x_t) / (v + b**2), b**2 * v / (v + b**2)
