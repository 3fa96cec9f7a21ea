def midpoint(u, x, times):
    h = (times[-1] - times[0]) / (len(times) - 1)
    for k in range(len(times) - 1):
        t = times[0] + k * h
        x = x + h * u(x + h / 2 * u(x, t), t + h / 2)
    return x
