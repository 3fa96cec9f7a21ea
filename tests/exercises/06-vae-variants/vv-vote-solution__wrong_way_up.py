def weighted_vote(log_w):
    return ((-log_w).softmax(0).detach() * log_w).sum(0)
