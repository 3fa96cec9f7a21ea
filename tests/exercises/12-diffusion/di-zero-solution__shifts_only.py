def zero_terminal(abar):
    abar = (abar.sqrt() - abar.sqrt()[-1]) ** 2
    before = torch.cat([torch.ones(1), abar[:-1]])
    return abar, 1 - abar / before
