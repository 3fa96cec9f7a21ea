def step_back(x_t, m, v, a, b):
    gain = a * v / (a**2 * v + b**2)
    return m + gain * (x_t - m), (1 - gain * a) * v
