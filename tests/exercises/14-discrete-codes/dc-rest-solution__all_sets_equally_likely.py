def rest_bound(network, x, given):
    rest, total = (~given).nonzero()[:, 0], 0.0
    for chosen in list(product([False, True], repeat=len(rest)))[1:]:
        hidden = torch.zeros_like(x, dtype=torch.bool)
        hidden[:, rest] = torch.tensor(chosen)
        own = network(x, ~hidden).log_softmax(-1).gather(-1, x[..., None])[..., 0]
        total = total + len(rest) * (own * hidden).sum(1) / sum(chosen)
    return total / (2 ** len(rest) - 1)
