def source_entropy_nats(P, D):
    pi = torch.full((len(P),), 1 / len(P))
    first_token = -torch.xlogy(pi, pi).sum()
    each_step = -(pi * torch.xlogy(P, P).sum(1)).sum()
    return (first_token + (D - 1) * each_step).item()
