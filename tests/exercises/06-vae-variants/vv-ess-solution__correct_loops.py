def bound_and_size(log_w, k):
    parts = [torch.log(torch.exp(g - g.max(0).values).mean(0)) + g.max(0).values for g in log_w.split(k)]
    w = (log_w - log_w.max(0).values).exp()
    return sum(parts) / len(parts), w.sum(0) ** 2 / w.square().sum(0)
