def temper(p, T):
    return (p / p.sum()).sqrt() / p.sqrt().sum() if T > 1 else p
