def alive(q, threshold=0.01):
    return q.sample().var(0) > threshold
