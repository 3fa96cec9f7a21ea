def kl_best(p, q):
    return 1 + p / q


def chi_square_best(p, q):
    return 2 * p / q - 2
