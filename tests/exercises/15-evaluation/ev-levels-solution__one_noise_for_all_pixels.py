def dequantised_bits(log_density, x, levels, k):
    v = (x + torch.rand(k, len(x), 1)) / levels
    log_mean = log_density(v).logsumexp(0) - math.log(k)
    return (math.log(levels) - log_mean / x.shape[1]) / math.log(2)
