def reach(masks):
    total = torch.eye(len(masks[0]))
    for mask in masks:
        one = mask.diag().float() + (~mask).float()[:, None] * mask.float()
        total = one @ total
    return total > 0
