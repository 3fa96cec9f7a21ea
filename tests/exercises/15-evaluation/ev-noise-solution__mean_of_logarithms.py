def noise_price(log_p, log_r, eps):
    return log_p - (eps * log_p + (1 - eps) * log_r)
