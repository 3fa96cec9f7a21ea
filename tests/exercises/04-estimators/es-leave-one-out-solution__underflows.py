def factors(a):
    K = len(a)
    others = (a.sum(0) - a) / (K - 1)
    sums = a.exp().sum(0)
    return sums.log() - (sums - a.exp() + others.exp()).log()
