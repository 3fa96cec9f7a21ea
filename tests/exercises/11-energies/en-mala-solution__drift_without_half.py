def mala_log_accept(log_p, score, x, y, eta):
    def log_q(b, a):
        return -(b - a - eta * score(a)).square().sum(1) / (2 * eta)

    return log_p(y) + log_q(x, y) - log_p(x) - log_q(y, x)
