def images_needed(log_p, log_q, z):
    n = len(log_p)
    difference = log_p - log_q
    mean = difference.sum() / n
    variance = (difference - mean).square().sum() / (n - 1)
    m = 1
    while mean.abs() < z * (variance / m) ** 0.5:
        m += 1
    return m
