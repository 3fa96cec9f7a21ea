def zero_terminal(abar):
    abar = torch.cat([abar[:-1], torch.zeros(1)])
    before = torch.cat([torch.ones(1), abar[:-1]])
    return abar, 1 - abar / before
