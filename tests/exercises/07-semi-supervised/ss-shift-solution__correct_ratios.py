def estimate_shares(probs, shares, sweeps=200):
    ratio = torch.ones_like(shares)  # of the new shares to the old
    for _ in range(sweeps):
        mixed = (probs * ratio).sum(1, keepdim=True)  # (N, 1)
        ratio = ratio * (probs / mixed).mean(0) / shares
    return ratio * shares
