def unmask(network, observed, T, rule):
    x, known = observed.clamp(min=0), observed >= 0
    h = (~known).sum(1, keepdim=True)
    for t in range(1, T + 1):
        logits = network(x, known)
        rank = rule(logits).masked_fill(known, -math.inf).argsort(1)
        now = ~known & (rank < x.shape[1] - h * (T - t) // T)
        x, known = torch.where(now, Categorical(logits=logits).sample(), x), known | now
    return x
