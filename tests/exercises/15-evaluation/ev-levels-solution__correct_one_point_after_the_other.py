def dequantised_bits(log_density, x, levels, k):
    B, D = x.shape
    total = torch.full((B,), -math.inf)
    for _ in range(k):
        inside = torch.rand(B, D)
        total = torch.logaddexp(total, log_density(x / levels + inside / levels))
    return -(total - math.log(k) - D * math.log(levels)) / (D * math.log(2))
