def reach(masks):
    D = len(masks[0])
    one = torch.eye(D) + (~masks[0]).float()[:, None] * masks[0].float()
    return (one > 0) if len(masks) == 1 else torch.ones(D, D, dtype=torch.bool)
