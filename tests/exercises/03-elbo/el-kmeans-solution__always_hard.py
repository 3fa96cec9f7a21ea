def em_centres(x, centres, variance):
    nearest = torch.cdist(x, centres).argmin(1)
    return torch.stack([x[nearest == k].mean(0) for k in range(len(centres))])
