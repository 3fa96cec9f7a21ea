def couple(x, mask, s, t, inverse=False):
    b = (~mask).nonzero().flatten()
    kept = x.clone()
    kept[:, b] = 0.0
    log_scale, shift = s(kept)[:, b], t(kept)[:, b]
    y = x.clone()
    y[:, b] = x[:, b] * log_scale.exp() + shift if inverse else (x[:, b] - shift) / log_scale.exp()
    log_det = log_scale.sum(1)
    return y, log_det if inverse else -log_det
