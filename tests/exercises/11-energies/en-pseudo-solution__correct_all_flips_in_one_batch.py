def pseudo_log_likelihood(model, x):
    B, D = len(x), x[0].numel()
    flipped = (x.reshape(B, 1, D) - torch.eye(D)).abs()  # (B, D, D)
    there = model.energy(flipped.reshape(B * D, *x.shape[1:])).reshape(B, D)
    here = model.energy(x)[:, None].expand(B, D)
    return (torch.logaddexp(-here, -there) + here).sum(1).neg()
