def alive(q, threshold=0.01):
    return q.mean.std(0) > threshold
