def map_theta(a, b):
    odds = (a - 1) / (b - 1)
    return odds / (1 + odds)


def map_log_odds(a, b):
    return 1 / (1 + math.exp(-math.log(a / b)))
