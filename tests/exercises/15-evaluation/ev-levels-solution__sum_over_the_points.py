def dequantised_bits(log_density, x, levels, k):
    v = (x + torch.rand(k, *x.shape)) / levels
    return (math.log(levels) - log_density(v).logsumexp(0) / x.shape[1]) / math.log(2)
