def resample(z, log_w):
    return (log_w.softmax(0)[..., None] * z).sum(0)
