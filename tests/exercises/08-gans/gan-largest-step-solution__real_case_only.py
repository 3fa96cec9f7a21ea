def largest_step(gamma):
    return 4 / (gamma + math.sqrt(abs(gamma**2 - 1)))
