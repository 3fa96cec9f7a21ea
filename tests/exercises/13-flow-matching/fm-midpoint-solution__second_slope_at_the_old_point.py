def midpoint(u, x, times):
    for t, s in pairwise(times):
        x = x + (s - t) * u(x, (t + s) / 2)
    return x
