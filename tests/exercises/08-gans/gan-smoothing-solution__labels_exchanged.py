def smoothed_optimum(p, q, real=0.9, fake=0.0):
    return (fake * p + real * q) / (p + q)
