def map_theta(a, b):
    return (a - 1) / (a + b - 2)


def map_log_odds(a, b):
    return (a - 1.5) / (a + b - 3)  # exponents lowered instead of raised
