def rest_bound(network, x, given):
    rest, total = (~given).nonzero()[:, 0], 0.0
    for chosen in list(product([False, True], repeat=len(rest)))[1:]:
        hidden = torch.zeros_like(x, dtype=torch.bool)
        hidden[:, rest] = torch.tensor(chosen)
        own = network(x, ~(hidden | given)).log_softmax(-1).gather(-1, x[..., None])[..., 0]
        m = sum(chosen)
        total = total + (own * hidden).sum(1) / (m * math.comb(len(rest), m))
    return total
