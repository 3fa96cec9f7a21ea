def weighted_vote(log_w):
    return log_w.mean(0)
