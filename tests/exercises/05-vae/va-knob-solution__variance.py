def implied_sigma(weight, D):
    return D * weight / 2
