def bound_and_size(log_w, k):
    top = log_w.max(0).values
    w = (log_w - top).exp()  # at most 1
    parts = [group.mean(0).log() + top for group in w.split(k)]
    return sum(parts) / len(parts), w.sum(0) ** 2 / w.square().sum(0)
