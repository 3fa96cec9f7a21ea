def noise_price(log_p, log_r, eps):
    mixture = eps * log_p.exp() + (1 - eps) * log_r.exp()
    return log_p - (mixture + 1e-12).log()
