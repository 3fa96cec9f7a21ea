def step_back(x_t, m, v, a, b):
    precision = 1 / v + a**2 / b**2
    return (m / v + a * x_t / b**2) / precision, 1 / precision
