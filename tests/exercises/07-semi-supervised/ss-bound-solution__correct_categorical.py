def unlabelled(bounds, log_q):
    q = log_q.softmax(1)
    surprise = torch.where(q > 0, -log_q, torch.zeros_like(log_q))
    return torch.einsum("bc,bc->b", q, bounds + surprise)
