def effective_sample_size(log_w):
    return 1 / log_w.softmax(0).max(0).values
