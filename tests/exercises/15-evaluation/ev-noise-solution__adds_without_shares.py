def noise_price(log_p, log_r, eps):
    return log_p - torch.logaddexp(log_p, log_r)
