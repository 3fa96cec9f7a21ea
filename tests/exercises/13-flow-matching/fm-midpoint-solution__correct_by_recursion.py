def midpoint(u, x, times):
    if len(times) < 2:
        return x
    t, h = times[0], times[0] - times[1]
    return midpoint(u, x - h * u(x - h / 2 * u(x, t), t - h / 2), times[1:])
