def smoothed_optimum(p, q, real=0.9, fake=0.0):
    share = p / (p + q)  # of real points among those at x
    return real * share + fake * (1 - share)
