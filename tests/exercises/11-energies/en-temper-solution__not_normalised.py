def temper(p, T):
    return p ** (1 / T)
