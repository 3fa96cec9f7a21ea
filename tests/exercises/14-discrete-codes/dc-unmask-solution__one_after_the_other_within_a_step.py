def unmask(network, observed, T, rule):
    x, known = observed.clamp(min=0), observed >= 0
    h = (~known).sum(1, keepdim=True)
    for t in range(1, T + 1):
        rank = None
        while ((~known).sum(1, keepdim=True) > h * (T - t) // T).any():
            logits = network(x, known)
            rank = rule(logits) if rank is None else rank
            more = (~known).sum(1, keepdim=True) > h * (T - t) // T
            place = rank.masked_fill(known, math.inf).argmin(1, keepdim=True)
            now = torch.zeros_like(known).scatter(1, place, more)
            x = torch.where(now, Categorical(logits=logits).sample(), x)
            known = known | now
    return x
