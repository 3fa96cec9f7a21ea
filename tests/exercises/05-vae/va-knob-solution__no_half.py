def implied_sigma(weight, D):
    return math.sqrt(D * weight)
