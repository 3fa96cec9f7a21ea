def bound_and_size(log_w, k):
    bound = log_w.logsumexp(0) - math.log(len(log_w))
    return bound, 1 / log_w.softmax(0).square().sum(0)
