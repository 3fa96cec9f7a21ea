def leap(a, b):
    factor, variance = 1.0, 0.0
    for a_i, b_i in zip(a, b):
        factor, variance = a_i * factor, a_i**2 * variance + b_i**2
    return factor, variance**0.5
