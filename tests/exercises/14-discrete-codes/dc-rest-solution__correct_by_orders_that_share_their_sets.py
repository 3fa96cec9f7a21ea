def rest_bound(network, x, given):
    rest = (~given).nonzero()[:, 0].tolist()
    seen = {}

    def own(left):  # log p of each token of the set, given all others
        if left not in seen:
            known = torch.ones_like(x, dtype=torch.bool)
            known[:, list(left)] = False
            log_p = network(x, known).log_softmax(-1)
            seen[left] = log_p.gather(-1, x[..., None])[..., 0]
        return seen[left]

    total, orders = 0.0, list(permutations(rest))
    for order in orders:
        for j, i in enumerate(order):
            total = total + own(tuple(sorted(order[j:])))[:, i]
    return total / len(orders)
