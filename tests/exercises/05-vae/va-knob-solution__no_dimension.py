def implied_sigma(weight, D):
    return math.sqrt(weight / 2)
