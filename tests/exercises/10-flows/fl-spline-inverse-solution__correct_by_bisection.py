def rq_inverse(z, x0, x1, z0, z1, d0, d1):
    low, high = x0.double(), x1.double()
    ends = [end.double() for end in (x0, x1, z0, z1, d0, d1)]
    for _ in range(60):
        middle = (low + high) / 2
        below = rational_quadratic(middle, *ends)[0] < z
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low.to(z)
