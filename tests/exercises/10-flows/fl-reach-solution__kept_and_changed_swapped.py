def reach(masks):
    total = torch.eye(len(masks[0]))
    for mask in masks:
        one = torch.eye(len(mask)) + mask.float()[:, None] * (~mask).float()
        total = one @ total
    return total > 0
