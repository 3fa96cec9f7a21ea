def histogram_log_prob(x, train, bins):
    from collections import Counter

    counts = Counter(map(tuple, (train * bins).long().tolist()))
    mine = torch.tensor([float(counts[tuple(cell)]) for cell in (x * bins).long().tolist()])
    return mine.log() - math.log(len(train)) + train.shape[1] * math.log(bins)
