def source_entropy_nats(P, D):
    pi = torch.linalg.matrix_power((P + torch.eye(len(P))) / 2, 10_000)[0]
    first_token = -(pi * pi.log()).sum()
    each_step = -(pi * (P * P.log()).sum(1)).sum()
    return (first_token + (D - 1) * each_step).item()
