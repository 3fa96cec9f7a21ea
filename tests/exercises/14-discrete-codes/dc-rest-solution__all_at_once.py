def rest_bound(network, x, given):
    log_p = network(x, given.expand(x.shape)).log_softmax(-1).gather(-1, x[..., None])[..., 0]
    return (log_p * ~given).sum(1)
