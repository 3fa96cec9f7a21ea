def free_bits_penalty(kl_per_coordinate, free):
    mean = kl_per_coordinate.mean(0)
    return torch.where(mean > free, mean, torch.zeros_like(mean)).sum()
