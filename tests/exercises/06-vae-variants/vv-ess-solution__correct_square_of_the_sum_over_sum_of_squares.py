def effective_sample_size(log_w):
    w = (log_w - log_w.max(0).values).exp()
    return w.sum(0) ** 2 / w.square().sum(0)
