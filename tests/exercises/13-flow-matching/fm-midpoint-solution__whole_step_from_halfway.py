def midpoint(u, x, times):
    for t, s in pairwise(times):
        halfway = x + (s - t) / 2 * u(x, t)
        x = halfway + (s - t) * u(halfway, (t + s) / 2)
    return x
