def effective_sample_size(log_w):
    w = log_w.exp()
    return w.sum(0).square() / w.square().sum(0)
