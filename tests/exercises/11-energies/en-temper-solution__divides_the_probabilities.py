def temper(p, T):
    return p / T / (p / T).sum()
