def weighted_vote(log_w):
    with torch.no_grad():
        w = (log_w - log_w.max(0).values).exp()
        w /= w.sum(0)
    return torch.einsum("kb,kb->b", w, log_w)
