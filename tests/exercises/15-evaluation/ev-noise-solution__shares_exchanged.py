def noise_price(log_p, log_r, eps):
    return log_p - torch.logaddexp(math.log1p(-eps) + log_p, math.log(eps) + log_r)
