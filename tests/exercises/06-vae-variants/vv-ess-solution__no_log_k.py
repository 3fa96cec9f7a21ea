def bound_and_size(log_w, k):
    groups = log_w.unflatten(0, (-1, k))
    bound = groups.logsumexp(1).mean(0)
    return bound, 1 / log_w.softmax(0).square().sum(0)
