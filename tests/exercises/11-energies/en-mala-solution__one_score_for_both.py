def mala_log_accept(log_p, score, x, y, eta):
    forward = -(y - x - eta / 2 * score(x)).square().sum(1) / (2 * eta)
    back = -(x - y - eta / 2 * score(x)).square().sum(1) / (2 * eta)
    return log_p(y) + back - log_p(x) - forward
