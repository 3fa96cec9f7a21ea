def rq_inverse(z, x0, x1, z0, z1, d0, d1):
    height = z1 - z0
    r, up = (x1 - x0) / height, z - z0
    bend = d0 + d1 - 2 * r
    a = height * (r - d0) + up * bend
    b = height * d0 - up * bend
    c = -r * up
    return x0 + (x1 - x0) * 2 * c / (-b - (b * b - 4 * a * c).sqrt())
