def estimate_shares(probs, shares, sweeps=200):
    return probs.mean(0)
