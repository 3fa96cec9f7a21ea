def dequantised_bits(log_density, x, levels, k):
    v = x / (levels - 1) + torch.rand(k, *x.shape) / levels
    log_mean = log_density(v).logsumexp(0) - math.log(k)
    return (math.log(levels) - log_mean / x.shape[1]) / math.log(2)
