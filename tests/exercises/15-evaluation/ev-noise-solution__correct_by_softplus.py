def noise_price(log_p, log_r, eps):
    # log p - log(eps p (1 + odds)), with the odds of the noise
    odds = log_r - log_p + math.log((1 - eps) / eps)
    return -math.log(eps) - torch.nn.functional.softplus(odds)
