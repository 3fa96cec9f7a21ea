def dequantised_bits(log_density, x, levels, k):
    return (math.log(levels) - log_density((x + 0.5) / levels) / x.shape[1]) / math.log(2)
