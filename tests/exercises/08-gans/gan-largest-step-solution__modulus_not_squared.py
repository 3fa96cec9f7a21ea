def largest_step(gamma):
    if gamma < 1:  # 1 - gamma eta + eta^2 / 2
        return 2 * gamma
    return 4 / (gamma + math.sqrt(gamma**2 - 1))
