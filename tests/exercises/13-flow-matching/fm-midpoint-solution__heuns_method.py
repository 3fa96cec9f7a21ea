def midpoint(u, x, times):
    for t, s in pairwise(times):
        slope = u(x, t)
        x = x + (s - t) / 2 * (slope + u(x + (s - t) * slope, s))
    return x
