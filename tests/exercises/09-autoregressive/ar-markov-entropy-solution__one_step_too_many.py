def source_entropy_nats(P, D):
    pi = torch.linalg.matrix_power((P + torch.eye(len(P))) / 2, 10_000)[0]
    each_step = -(pi * torch.xlogy(P, P).sum(1)).sum()
    return (D * each_step).item()
