def unmask(network, observed, T, rule):
    x, known, drawn = observed.clamp(min=0), observed >= 0, None
    h = (~known).sum(1, keepdim=True)
    for t in range(1, T + 1):
        logits = network(x, known)
        drawn = Categorical(logits=logits).sample() if drawn is None else drawn
        rank = rule(logits).masked_fill(known, -math.inf).argsort(1).argsort(1)
        now = ~known & (rank < x.shape[1] - h * (T - t) // T)
        x, known = torch.where(now, drawn, x), known | now
    return x
