def map_theta(a, b):
    return a / (a + b)


def map_log_odds(a, b):
    return a / (a + b)
