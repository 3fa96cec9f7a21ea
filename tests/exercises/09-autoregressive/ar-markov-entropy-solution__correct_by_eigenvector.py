def source_entropy_nats(P, D):
    values, vectors = torch.linalg.eig(P.T)
    pi = vectors[:, values.real.argmax()].real
    pi = pi / pi.sum()
    first_token = torch.special.entr(pi).sum()
    return (first_token + (D - 1) * (pi @ torch.special.entr(P).sum(1))).item()
