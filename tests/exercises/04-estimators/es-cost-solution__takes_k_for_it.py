def evaluations(estimator, q, k):
    return k
