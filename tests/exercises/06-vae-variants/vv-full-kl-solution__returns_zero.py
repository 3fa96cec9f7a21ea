def full_kl(mu, L):
    return torch.zeros(len(mu), dtype=mu.dtype)
