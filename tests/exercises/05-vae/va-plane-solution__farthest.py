def shares(codes, labels, classes, side):
    u = (torch.arange(side) + 0.5) / side
    grid = torch.cartesian_prod(*[torch.special.ndtri(u)] * 2)
    return torch.bincount(labels[torch.cdist(grid, codes).argmax(1)], minlength=classes) / side**2
