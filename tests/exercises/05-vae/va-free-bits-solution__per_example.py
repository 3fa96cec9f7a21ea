def free_bits_penalty(kl_per_coordinate, free):
    return kl_per_coordinate.clamp(min=free).mean(0).sum()
