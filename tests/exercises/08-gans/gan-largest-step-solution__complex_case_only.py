def largest_step(gamma):
    return 4 * gamma
