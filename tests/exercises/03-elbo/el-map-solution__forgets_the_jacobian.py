def map_theta(a, b):
    return (a - 1) / (a + b - 2)


def map_log_odds(a, b):
    return (a - 1) / (a + b - 2)  # a density does not keep its peak when the variable changes
