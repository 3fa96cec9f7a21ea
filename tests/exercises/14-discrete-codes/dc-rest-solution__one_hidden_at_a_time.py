def rest_bound(network, x, given):
    total = 0.0
    for i in (~given).nonzero()[:, 0]:
        known = torch.ones_like(x, dtype=torch.bool)
        known[:, i] = False
        total = total + network(x, known).log_softmax(-1)[range(len(x)), i, x[:, i]]
    return total
