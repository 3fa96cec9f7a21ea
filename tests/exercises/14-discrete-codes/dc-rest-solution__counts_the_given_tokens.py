def rest_bound(network, x, given):
    (rest,), total, D = (~given).nonzero(as_tuple=True), 0.0, len(given)
    for chosen in list(product([False, True], repeat=len(rest)))[1:]:
        hidden = torch.zeros_like(x, dtype=torch.bool)
        hidden[:, rest] = torch.tensor(chosen)
        own = network(x, ~hidden).log_softmax(-1).gather(-1, x[..., None])[..., 0]
        m = sum(chosen)
        total = total + D / len(rest) * (own * hidden).sum(1) / (m * math.comb(len(rest), m))
    return total
