def alive(q, threshold=0.01):
    centred = q.mean - q.mean.mean(0)
    return (centred**2).sum(0) / (len(centred) - 1) > threshold
