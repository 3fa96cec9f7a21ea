def alive(q, threshold=0.01):
    kl = 0.5 * (q.mean**2 + q.variance - 1 - q.variance.log())
    return kl.mean(0) > threshold
