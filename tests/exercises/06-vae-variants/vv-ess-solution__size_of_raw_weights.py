def bound_and_size(log_w, k):
    groups = log_w.unflatten(0, (-1, k))
    bound = (groups.logsumexp(1) - math.log(k)).mean(0)
    return bound, log_w.exp().sum(0).square() / log_w.exp().square().sum(0)
