def estimate_shares(probs, shares, sweeps=200):
    new = shares
    for _ in range(sweeps):
        probs = probs * new / shares
        probs = probs / probs.sum(1, keepdim=True)
        new = probs.mean(0)
    return new
