def unlabelled(bounds, log_q):
    return (log_q.exp() * (bounds - log_q)).sum(1)
