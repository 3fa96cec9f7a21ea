def bound_and_size(log_w, k):
    bound = log_w.unflatten(0, (k, -1)).logsumexp(0).mean(0) - math.log(k)
    return bound, 1 / log_w.softmax(0).square().sum(0)
