def zero_terminal(abar):
    root = abar.sqrt()
    abar = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    before = torch.cat([torch.ones(1), abar[:-1]])
    return abar, 1 - (abar / before).sqrt()
