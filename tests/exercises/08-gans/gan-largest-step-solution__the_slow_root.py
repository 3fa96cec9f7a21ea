def largest_step(gamma):
    if gamma < 1:
        return 4 * gamma
    return 4 / (gamma - math.sqrt(gamma**2 - 1))
