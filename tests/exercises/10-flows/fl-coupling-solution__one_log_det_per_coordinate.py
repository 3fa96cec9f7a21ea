def couple(x, mask, s, t, inverse=False):
    kept = torch.where(mask, x, 0.0)
    log_scale = torch.where(mask, 0.0, s(kept))
    shift = torch.where(mask, 0.0, t(kept))
    if inverse:
        return x * log_scale.exp() + shift, log_scale
    return (x - shift) * (-log_scale).exp(), -log_scale
