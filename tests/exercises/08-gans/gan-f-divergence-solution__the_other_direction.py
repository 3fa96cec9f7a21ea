def kl_best(p, q):
    return 1 + (q / p).log()


def chi_square_best(p, q):
    return 2 * p / q - 2
