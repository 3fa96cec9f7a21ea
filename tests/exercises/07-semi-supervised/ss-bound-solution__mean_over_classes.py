def unlabelled(bounds, log_q):
    q = log_q.exp()
    return (q * bounds).mean(1) + torch.special.entr(q).sum(1)
