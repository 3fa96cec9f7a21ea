def leap(a, b):
    factor, variance = 1.0, 0.0
    for a_i, b_i in zip(a, b):
        variance = variance + factor**2 * b_i**2
        factor = a_i * factor
    return factor, variance
