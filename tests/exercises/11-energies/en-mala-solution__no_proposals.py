def mala_log_accept(log_p, score, x, y, eta):
    return log_p(y) - log_p(x)
