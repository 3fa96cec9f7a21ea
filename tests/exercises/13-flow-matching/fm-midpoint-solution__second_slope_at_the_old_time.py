def midpoint(u, x, times):
    for t, s in pairwise(times):
        halfway = x + (s - t) / 2 * u(x, t)
        x = x + (s - t) * u(halfway, t)
    return x
