def classify(log_w, prior):
    top = log_w.amax((0, 2), keepdim=True)  # (1, N, 1)
    joint = prior * (log_w - top).exp().mean(0)  # (N, C)
    total = joint.sum(1)
    return joint / total[:, None], total.log() + top[0, :, 0]
