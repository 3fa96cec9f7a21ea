def histogram_log_prob(x, train, bins):
    same = ((x * bins).floor()[:, None] == (train * bins).floor()).all(2)
    return (same.sum(1) / len(train)).log() - train.shape[1] * math.log(bins)
