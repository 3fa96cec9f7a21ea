def noise_price(log_p, log_r, eps):
    return log_p - (eps * log_p.exp() + (1 - eps) * log_r.exp()).log()
