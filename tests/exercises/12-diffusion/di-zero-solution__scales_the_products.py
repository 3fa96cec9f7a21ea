def zero_terminal(abar):
    abar = (abar - abar[-1]) * abar[0] / (abar[0] - abar[-1])
    before = torch.cat([torch.ones(1), abar[:-1]])
    return abar, 1 - abar / before
