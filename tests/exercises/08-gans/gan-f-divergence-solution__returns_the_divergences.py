def kl_best(p, q):
    return (p * (p / q).log()).sum()


def chi_square_best(p, q):
    return (q * (p / q - 1).square()).sum()
