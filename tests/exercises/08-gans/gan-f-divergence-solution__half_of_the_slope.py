def kl_best(p, q):
    return 1 + p.log() - q.log()


def chi_square_best(p, q):
    return p / q - 1
