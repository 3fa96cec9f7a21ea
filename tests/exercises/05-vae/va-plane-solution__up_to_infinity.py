def shares(codes, labels, classes, side):
    u = torch.linspace(0, 1, side)  # its ends are minus and plus infinity
    grid = torch.cartesian_prod(*[torch.special.ndtri(u)] * 2).nan_to_num(posinf=9e9, neginf=-9e9)
    distance = (grid[:, None] - codes).abs().sum(-1)
    return torch.bincount(labels[distance.argmin(1)], minlength=classes) / side
