def couple(x, mask, s, t, inverse=False):
    kept = torch.where(mask, x, 0.0)
    log_scale, shift = s(kept), t(kept)
    if inverse:
        return x * log_scale.exp() + shift, log_scale.sum(1)
    return (x - shift) * (-log_scale).exp(), -log_scale.sum(1)
