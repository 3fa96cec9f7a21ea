def estimate_shares(probs, shares, sweeps=200):
    new = shares
    for _ in range(sweeps):
        weighted = probs * new / shares
        new = F.one_hot(weighted.argmax(1), len(shares)).float().mean(0)
    return new
