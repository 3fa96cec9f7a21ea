def map_theta(a, b):
    return (a - 1) / (a + b - 2)


def map_log_odds(a, b):
    odds = (a - 1) / (b - 1)
    return odds / (1 + odds)
