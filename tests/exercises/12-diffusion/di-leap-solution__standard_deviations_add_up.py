def leap(a, b):
    factor, sd = 1.0, 0.0
    for a_i, b_i in zip(a, b):
        factor, sd = a_i * factor, a_i * sd + b_i
    return factor, sd**2
