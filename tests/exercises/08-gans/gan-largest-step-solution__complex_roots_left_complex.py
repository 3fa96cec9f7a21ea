def largest_step(gamma):
    root = (gamma**2 - 1 + 0j) ** 0.5
    return -2 / ((-gamma - root) / 2)  # 1 + eta lambda = -1
