def unlabelled(bounds, log_q):
    return (log_q.exp() * bounds).sum(1)
