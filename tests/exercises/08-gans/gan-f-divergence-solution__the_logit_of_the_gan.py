def kl_best(p, q):
    return (p / q).log()


def chi_square_best(p, q):
    return 2 * p / q - 2
