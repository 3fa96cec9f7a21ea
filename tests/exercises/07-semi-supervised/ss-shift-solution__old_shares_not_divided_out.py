def estimate_shares(probs, shares, sweeps=200):
    new = torch.full_like(shares, 1 / len(shares))
    for _ in range(sweeps):
        weighted = probs * new
        new = (weighted / weighted.sum(1, keepdim=True)).mean(0)
    return new
