def shares(codes, labels, classes, side):
    u = (torch.arange(side) + 0.5) / side
    grid = torch.cartesian_prod(*[torch.special.ndtri(u)] * 2)
    nearest = labels[torch.cdist(grid, codes).argmin(1)]
    return torch.stack([(nearest == c).float().mean() for c in labels.unique()])
