def midpoint(u, x, times):
    for t, s in pairwise(times):
        halfway = x + (t - s) / 2 * u(x, t)
        x = x + (t - s) * u(halfway, (t + s) / 2)
    return x
