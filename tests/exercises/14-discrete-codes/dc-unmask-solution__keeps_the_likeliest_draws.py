def unmask(network, observed, T, rule):
    x, known = observed.clamp(min=0), observed >= 0
    h = (~known).sum(1, keepdim=True)
    for t in range(1, T + 1):
        p = Categorical(logits=network(x, known))
        drawn = p.sample()
        rank = (-p.log_prob(drawn)).masked_fill(known, -math.inf).argsort(1).argsort(1)
        now = ~known & (rank < x.shape[1] - h * (T - t) // T)
        x, known = torch.where(now, drawn, x), known | now
    return x
