def step_back(x_t, m, v, a, b):
    return x_t / a, b**2 / a**2 * torch.ones_like(v)
