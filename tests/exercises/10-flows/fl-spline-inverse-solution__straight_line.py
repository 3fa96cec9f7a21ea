def rq_inverse(z, x0, x1, z0, z1, d0, d1):
    return x0 + (x1 - x0) * (z - z0) / (z1 - z0)
