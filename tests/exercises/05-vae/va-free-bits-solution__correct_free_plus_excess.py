def free_bits_penalty(kl_per_coordinate, free):
    return (free + F.relu(kl_per_coordinate.mean(0) - free)).sum()
