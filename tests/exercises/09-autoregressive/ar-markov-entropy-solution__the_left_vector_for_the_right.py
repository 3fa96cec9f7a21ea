def source_entropy_nats(P, D):
    values, vectors = torch.linalg.eig(P)
    pi = vectors[:, values.real.argmax()].real  # P pi = pi: constant
    pi = pi / pi.sum()
    first_token = -torch.xlogy(pi, pi).sum()
    each_step = -(pi * torch.xlogy(P, P).sum(1)).sum()
    return (first_token + (D - 1) * each_step).item()
