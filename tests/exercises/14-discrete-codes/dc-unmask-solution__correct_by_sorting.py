def unmask(network, observed, T, rule):
    x, hidden = observed.clamp(min=0), observed < 0
    h = hidden.sum(1)
    for t in range(1, T + 1):
        logits = network(x, ~hidden)
        value = (logits - torch.empty_like(logits).exponential_().log()).argmax(2)  # Gumbel noise
        order = torch.where(hidden, rule(logits), math.inf).sort(1).indices
        many = hidden.sum(1) - h * (T - t) // T
        turn = (torch.arange(x.shape[1]) < many[:, None]).expand(x.shape)
        now = torch.zeros_like(hidden).scatter(1, order, turn)
        x[now], hidden = value[now], hidden & ~now
    return x
