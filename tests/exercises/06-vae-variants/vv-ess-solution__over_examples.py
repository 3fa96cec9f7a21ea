def effective_sample_size(log_w):
    return 1 / log_w.softmax(1).square().sum(0)
