def noise_price(log_p, log_r, eps):
    return torch.full_like(log_p, -math.log(eps))
