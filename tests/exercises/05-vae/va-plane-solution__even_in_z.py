def shares(codes, labels, classes, side):
    grid = torch.cartesian_prod(*[torch.linspace(-3, 3, side)] * 2)
    nearest = torch.cdist(grid, codes).argmin(1)
    return torch.bincount(labels[nearest], minlength=classes) / side**2
