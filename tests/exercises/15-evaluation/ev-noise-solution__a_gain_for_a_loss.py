def noise_price(log_p, log_r, eps):
    return torch.logaddexp(math.log(eps) + log_p, math.log1p(-eps) + log_r) - log_p
