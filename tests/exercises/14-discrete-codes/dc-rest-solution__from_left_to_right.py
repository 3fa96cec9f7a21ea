def rest_bound(network, x, given):
    known, total = given.expand(x.shape).clone(), 0.0
    for i in (~given).nonzero()[:, 0]:
        total = total + network(x, known).log_softmax(-1)[range(len(x)), i, x[:, i]]
        known[:, i] = True
    return total
