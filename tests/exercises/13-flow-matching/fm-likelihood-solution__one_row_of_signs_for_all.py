def flow_log_prob(u, x, steps, signs=None):
    units = torch.eye(x.shape[1], dtype=x.dtype)
    directions = (
        [signs[:1].expand_as(x)] if signs is not None else [row.expand_as(x) for row in units]
    )
    h, total = 1 / steps, 0.0
    for k in range(steps):
        halfway = x + h / 2 * u(x, k * h)
        then = partial(u, t=(k + 0.5) * h)
        for v in directions:
            slope, pushed = jvp(then, (halfway,), (v,))
            total = total + h * (v * pushed).sum(1)
        x = x + h * slope
    return Normal(0.0, 1.0).log_prob(x).sum(1) + total
