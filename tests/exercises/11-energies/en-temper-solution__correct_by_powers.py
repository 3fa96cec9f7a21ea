def temper(p, T):
    q = p.double() ** (1 / T)
    return (q / q.sum()).float()
